// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: the sum of a function of every element, in an order fixed by the index.
#pragma once

#include <algorithm>

#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu {

/// Elements per task: part of the result, as it fixes the order of the sum.
inline constexpr std::int64_t kSumPiece = 32768;

/// The sum over [begin, end) of fn(x_i): element i goes to lane i mod 16.
template <class F, class T, class Fn>
F sum_piece(const T* x, std::int64_t begin, std::int64_t end, Fn fn) {
  LaneSum<F> total;
  for (std::int64_t block = begin; block < end; block += kBlockSteps * kLanes) {
    const std::int64_t block_end = std::min(block + kBlockSteps * kLanes, end);
    F sum[kLanes] = {};
    std::int64_t i = block;
    for (; i + kLanes <= block_end; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) sum[lane] += fn(static_cast<F>(x[i + lane]));
    }
    for (int lane = 0; i + lane < block_end; ++lane) sum[lane] += fn(static_cast<F>(x[i + lane]));
    total.add(sum);
  }
  RowTile<true>::sum_lanes(total.total);
  return total.total[0];
}

/// Sum of fn(x_i): over pieces, each by one task; then over the pieces in order.
template <class T, class Fn>
ComputeType<T> sum_of(const Tensor& x, Fn fn) {
  using F = ComputeType<T>;
  const std::int64_t n = x.numel();
  Tensor pieces = Tensor::zeros({(n + kSumPiece - 1) / kSumPiece}, dtype_of<F>());
  F* sums = pieces.data<F>();
  const T* values = x.data<T>();
  parallel_ranges(n, kSumPiece, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) { sums[begin / kSumPiece] = sum_piece<F>(values, begin, end, fn); });
  });
  F total = 0;
  const auto itself = [](F v) { return v; };
  simd([&, count = pieces.numel()](auto) { total = sum_piece<F>(sums, 0, count, itself); });
  return total;
}

}  // namespace limbeck::cpu

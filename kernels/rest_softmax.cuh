// SPDX-License-Identifier: Apache-2.0
// Internal: the softmax of some of a row's elements, and how the threads of a row, a warp or a
// block, work together.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::gpu {

/// What a thread is within its row, and which of the block's rows that is.
template <class Rows>
struct RowTeam {
  static constexpr int kThreads = Rows::kBlockThreads / Rows::kBlockRows;

  LIMBECK_DEVICE static int thread() { return static_cast<int>(threadIdx.x) % kThreads; }
  LIMBECK_DEVICE static int slot() { return static_cast<int>(threadIdx.x) / kThreads; }
  LIMBECK_DEVICE static void sync() {
    if constexpr (Rows::kBlockRows > 1)
      sync_warp();
    else
      sync_block();
  }
};

/// sum exp(z / tau) = sum exp(max / tau) over the rest.
struct RestSoftmax {
  float max;
  double sum;
};

/// Over the elements for which is_rest(pack, j).
template <class Rows, class IsRest>
LIMBECK_DEVICE float rest_max(const Rows& rows, IsRest is_rest) {
  float max[1] = {-__builtin_huge_valf()};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && is_rest(p, j)) max[0] = Max{}(max[0], p.z[0][j]);
  });
  rows.reduce(max, Max{});
  return max[0];
}

/// Threads' sums are added in f64, in which the errors of their terms cancel.
template <class Rows, class IsRest>
LIMBECK_DEVICE double rest_sum(const Rows& rows, float max, float inv_tau, IsRest is_rest) {
  float sum = 0;
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && is_rest(p, j)) sum += math::exp((p.z[0][j] - max) * inv_tau);
  });
  double total[1] = {sum};
  rows.reduce(total, Sum{});
  return total[0];
}

template <class Rows, class IsRest>
LIMBECK_DEVICE RestSoftmax rest_softmax(const Rows& rows, float inv_tau, IsRest is_rest) {
  const float max = rest_max(rows, is_rest);
  return {max, rest_sum(rows, max, inv_tau, is_rest)};
}

}  // namespace limbeck::gpu

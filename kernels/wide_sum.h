// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: sums over a row that lies in memory, in an order fixed by the index.
#pragma once

#include <cstdint>

namespace limbeck::cpu {

/// Fixed, whatever the vector width: sums are taken per lane, so it is part of the result.
inline constexpr int kSumLanes = 32;

/// out_k = the sum over i in [0, n) of term k: add(sums, lane, i) adds element i's terms to
/// sums[k][lane], i going to lane i mod 32. Called inside simd(). Blocks of 16 steps are summed
/// apart, which bounds the error of long rows.
template <int kCount, class F, class Add>
void wide_sums(F (&out)[kCount], std::int64_t n, Add add) {
  constexpr std::int64_t kBlock = 16 * kSumLanes;
  F total[kCount][kSumLanes] = {};
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = begin + kBlock < n ? begin + kBlock : n;
    F sums[kCount][kSumLanes] = {};
    std::int64_t i = begin;
    for (; i + kSumLanes <= end; i += kSumLanes) {
#pragma omp simd
      for (int lane = 0; lane < kSumLanes; ++lane) add(sums, lane, i + lane);
    }
#pragma omp simd
    for (std::int64_t lane = 0; lane < end - i; ++lane) add(sums, lane, i + lane);
    for (int k = 0; k < kCount; ++k) {
#pragma omp simd
      for (int lane = 0; lane < kSumLanes; ++lane) total[k][lane] += sums[k][lane];
    }
  }
  for (int k = 0; k < kCount; ++k) {
    for (int half = kSumLanes / 2; half >= 1; half /= 2) {
#pragma omp simd
      for (int lane = 0; lane < half; ++lane) total[k][lane] += total[k][lane + half];
    }
    out[k] = total[k][0];
  }
}

}  // namespace limbeck::cpu

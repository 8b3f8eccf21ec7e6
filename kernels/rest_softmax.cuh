// SPDX-License-Identifier: Apache-2.0
// Internal: sums over some of a row's elements, and how the threads of a row, a warp or a
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

/// sum exp((z - max) / tau); 0 where the maximum is -inf. A thread's sum is compensated (Kahan),
/// the threads' are added in f64: so the sum is better than its terms, whose errors cancel.
template <class Rows, class IsRest>
LIMBECK_DEVICE double rest_sum(const Rows& rows, float max, float inv_tau, IsRest is_rest) {
  const float shift = max == -__builtin_huge_valf() ? 0.0f : max;
  float sum = 0, lost = 0;
  rows.each([&](const auto& p) {
    float part = -lost;
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && is_rest(p, j)) part += math::exp((p.z[0][j] - shift) * inv_tau);
    const float next = sum + part;
    lost = (next - sum) - part;
    sum = next;
  });
  double total[1] = {static_cast<double>(sum) - static_cast<double>(lost)};
  rows.reduce(total, Sum{});
  return total[0];
}

}  // namespace limbeck::gpu

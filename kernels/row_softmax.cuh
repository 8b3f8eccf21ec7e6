// SPDX-License-Identifier: Apache-2.0
// Internal: log-sum-exp of a row, at a temperature, in one pass over it.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::gpu {

/// sum_v exp(z_v / tau) = sum exp(max / tau), and log_sum is the logarithm of sum; NaN when a z is
/// NaN or +inf, or all are -inf.
struct LogSumExp {
  float max;
  float sum;
  float log_sum;
};

/// Online: each thread keeps the maximum so far and the sum relative to it (Milakov and Gimelshein,
/// 2018), rescaled at most once per pack; then the threads agree on the maximum.
template <class Rows>
LIMBECK_DEVICE LogSumExp log_sum_exp(const Rows& rows, float inv_tau = 1) {
  const float lowest = -__builtin_huge_valf();
  float max = lowest, sum = 0;
  rows.each([&](const auto& p) {
    float top = max;
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) top = Max{}(top, p.z[0][j]);
    if (top != max) sum *= math::exp((max - top) * inv_tau);
    max = top;
    if (max == lowest) return;  // nothing but -inf so far: -inf - -inf would be NaN
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) sum += math::exp((p.z[0][j] - max) * inv_tau);
  });
  float row_max[1] = {max};
  rows.reduce(row_max, Max{});
  float row_sum[1] = {sum * math::exp((max - row_max[0]) * inv_tau)};
  rows.reduce(row_sum, Sum{});
  return {row_max[0], row_sum[0], math::log(row_sum[0])};
}

}  // namespace limbeck::gpu

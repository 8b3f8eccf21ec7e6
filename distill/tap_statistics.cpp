// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/tap_statistics.h>

#include <limbeck/kernels/channel_norm.h>
#include <limbeck/kernels/elementwise.h>

namespace limbeck {
namespace {

/// (1,R,C): the rows of one sample.
Tensor as_rows(const Tensor& taps) {
  LIMBECK_CHECK(taps.rank() >= 2 && taps.numel() >= 1 && taps.dtype() == DType::f32,
                "TapStatistics: taps are ", taps.dtype(), taps.shape(),
                "; expected f32(...,C) of one row or more");
  const std::int64_t C = taps.shape()[-1];
  return taps.reshape({1, taps.numel() / C, C});
}

}  // namespace

TapStatistics TapStatistics::of(const Tensor& taps, double momentum) {
  LIMBECK_CHECK(momentum >= 0 && momentum <= 1, "TapStatistics: momentum is ", momentum,
                "; expected 0 to 1");
  const Tensor rows = as_rows(taps);
  const std::int64_t C = rows.dim(2);
  Tensor mean = Tensor::empty({1, C}, DType::f32, taps.device());
  Tensor variance = Tensor::empty({1, C}, DType::f32, taps.device());
  channel_statistics(mean, variance, rows);
  return {mean.reshape({C}), variance.reshape({C}), momentum};
}

void TapStatistics::follow(const Tensor& taps) {
  if (momentum == 0) return;
  const TapStatistics batch = of(taps);
  scale(mean, mean, 1 - momentum);
  axpy(mean, momentum, batch.mean);
  scale(variance, variance, 1 - momentum);
  axpy(variance, momentum, batch.variance);
}

}  // namespace limbeck

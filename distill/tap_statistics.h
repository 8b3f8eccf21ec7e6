// SPDX-License-Identifier: Apache-2.0
// Mean and variance of a layer's channels, by which losses standardise their source.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// mean, variance (C) f32 of a layer's channels.
struct TapStatistics {
  Tensor mean, variance;
  double momentum = 0;  ///< share of a new batch in follow(); 0: they stay as they are

  /// Of all rows of taps (...,C) f32, one at least; the population's.
  static TapStatistics of(const Tensor& taps, double momentum = 0);
  /// mean and variance = (1 - momentum) old + momentum (those of `taps`), in place.
  void follow(const Tensor& taps);
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// How much of a student's error is one wrong bias: Hinton, Vinyals, Dean (2015), section 3.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Errors among N samples, and among those whose label is one of the swept classes.
struct SweepErrors {
  std::int64_t all = 0;
  std::int64_t swept = 0;
};

struct BiasSweep {
  SweepErrors as_is;
  SweepErrors best;
  double offset = 0;  ///< added to the logits of the swept classes in `best`
};

/// Finds the offset, added to the logits of all `classes` at once, that leaves the fewest errors.
/// The search is exact: a sample changes sides at one offset only, so every interval between two
/// such offsets is tried, and of the best the one nearest 0 is taken (its point nearest 0, moved
/// inside by half the interval or by 1, whichever is less). logits (N,V) floating and finite,
/// labels (N) i32 in [0,V); classes are distinct, in [0,V), neither none nor all of them.
BiasSweep sweep_bias(const Tensor& logits, const Tensor& labels,
                     const std::vector<std::int64_t>& classes);

}  // namespace limbeck

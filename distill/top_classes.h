// SPDX-License-Identifier: Apache-2.0
// One sample through the eyes of both models.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// A class with the probabilities both models give it at one temperature.
struct ClassView {
  std::int64_t label = 0;
  double student = 0, teacher = 0;
};

/// The `count` likeliest classes of each model, without repetition, and class `label` in any case
/// unless it is negative; the teacher's likeliest first, of equal ones the lower class. student,
/// teacher: logits (V) of a floating dtype; softmax(z / tau), tau > 0. Throws
/// std::invalid_argument.
std::vector<ClassView> top_classes(const Tensor& student, const Tensor& teacher, double tau,
                                   std::int64_t count = 5, std::int64_t label = -1);

}  // namespace limbeck

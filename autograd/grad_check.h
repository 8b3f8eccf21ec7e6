// SPDX-License-Identifier: Apache-2.0
// Compares the tape's gradients with central differences.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <limbeck/autograd/variable.h>

namespace limbeck {

struct GradCheckResult {
  double error = 0;   ///< worst |tape - difference| / max|difference of the same input|
  std::string where;  ///< input, element and both values of the worst
};

/// Differentiates L = sum_i w_i f(inputs)_i with fixed pseudo-random w, by the tape and by
/// (L(x+h) - L(x-h)) / 2h in every element of every input. Inputs are f64 on the CPU (in f32 the
/// difference loses all digits) and are restored; f must be a pure function of them. An input whose
/// differences are all 0 is compared absolutely. With h = 1e-4 a smooth f of moderate size agrees
/// within 1e-6.
GradCheckResult grad_check(const std::function<Variable(std::span<const Variable>)>& f,
                           const std::vector<Tensor>& inputs, double h = 1e-4);

}  // namespace limbeck

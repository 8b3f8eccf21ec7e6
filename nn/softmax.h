// SPDX-License-Identifier: Apache-2.0
// Softmax and its logarithm over the last dimension.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// exp(x_v) / sum_w exp(x_w) over the last dimension of (...,V).
class Softmax : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override { return "Softmax"; }
};

/// x_v - log sum_w exp(x_w) over the last dimension of (...,V).
class LogSoftmax : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override { return "LogSoftmax"; }
};

}  // namespace limbeck

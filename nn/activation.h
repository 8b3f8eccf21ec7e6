// SPDX-License-Identifier: Apache-2.0
// Any pointwise activation as a layer.
#pragma once

#include <limbeck/kernels/activation.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// y = act(x), any shape. Sequential fuses it into a Linear just before it.
class ActivationLayer : public Module {
 public:
  explicit ActivationLayer(Activation act) : act_(act) {}
  Activation activation() const { return act_; }
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override { return input; }
  std::string describe() const override { return std::string(activation_name(act_)); }

 private:
  Activation act_;
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// A layer whose activations are computed again in backward instead of being kept.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <limbeck/nn/module.h>

namespace limbeck {

/// autograd/recompute.h's of a function of x and of what a pass must know. Random draws repeat, and
/// batch-norm's running statistics move once.
Variable recompute(const Variable& x, const std::vector<Variable>& parameters, Context& context,
                   std::function<Variable(const Variable&, Context&)> body);

/// Computes what `body` computes, to the bit, keeping only its input until backward; body's names
/// are its own.
class Recompute : public Module {
 public:
  explicit Recompute(std::unique_ptr<Module> body);
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override { return body_->output_shape(input); }
  std::vector<NamedParameter> parameters() override { return body_->parameters(); }
  std::vector<NamedBuffer> buffers() override { return body_->buffers(); }
  std::string describe() const override;

 private:
  std::shared_ptr<Module> body_;  ///< shared with the graphs that are still to run backwards
};

}  // namespace limbeck

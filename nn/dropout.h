// SPDX-License-Identifier: Apache-2.0
// Dropout as a layer.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// In training, zeroes elements with probability p and divides the others by 1 - p; otherwise the
/// identity. The mask is a function of the context's seed, step and layer counter and of the
/// element's place in the whole batch.
class Dropout : public Module {
 public:
  explicit Dropout(double p);  ///< 0 <= p < 1
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override { return input; }
  std::string describe() const override;

 private:
  double p_;
};

/// Stochastic depth (Huang et al. 2016): as Dropout, but of whole samples (N,...), for the branch
/// of a residual block.
class DropPath : public Module {
 public:
  explicit DropPath(double p);  ///< 0 <= p < 1
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override { return input; }
  std::string describe() const override;

 private:
  double p_;
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// (N,...) to (N,features) as a layer.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// Keeps the order of the elements: an image (N,H,W,C) becomes (N,H*W*C), channels fastest.
class Flatten : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override { return "Flatten"; }
};

}  // namespace limbeck

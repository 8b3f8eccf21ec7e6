// SPDX-License-Identifier: Apache-2.0
// Layers that make one vector of a sequence of them.
#pragma once

#include <limbeck/kernels/token_pool.h>
#include <limbeck/nn/module.h>

namespace limbeck {

/// (N,T,D) to (N,D): the first token, a class token for one, or the last one that is valid by the
/// context's lengths.
class SelectToken : public Module {
 public:
  explicit SelectToken(TokenPool which);  ///< first or last
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override;

 private:
  TokenPool which_;
};

/// (N,T,D) to (N,D): the mean of the tokens that are valid by the context's lengths.
class MeanTokens : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override { return "MeanTokens"; }
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// BERT's segments, and images as tokens.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// BERT's segments, for texts of one: y_nt = x_nt + weight_0, "weight" (types,D). The other rows
/// are there for weight files and have no gradient.
class TypeEmbedding : public Module {
 public:
  TypeEmbedding(std::int64_t types, std::int64_t width, DType dtype = DType::f32,
                Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  Variable weight_;
};

/// The cells of an image (N,H,W,C), row by row, as tokens (N,H*W,C).
class ImageTokens : public Module {
 public:
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::string describe() const override { return "ImageTokens"; }
};

}  // namespace limbeck

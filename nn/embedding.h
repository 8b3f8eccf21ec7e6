// SPDX-License-Identifier: Apache-2.0
// A table of vectors, one for each token.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// Ids (...) i32 give (...,D): row id of "weight" (V,D), normal with deviation 1 at first. The row
/// padding_idx starts as 0 and is not trained (-1: there is none).
class Embedding : public Module {
 public:
  Embedding(std::int64_t num, std::int64_t dim, std::int64_t padding_idx = -1,
            DType dtype = DType::f32, Device device = Device::cpu());
  Variable forward(const Variable& ids, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;
  /// For a Linear that shares it.
  const Variable& weight() const { return weight_; }
  std::int64_t padding_idx() const { return padding_idx_; }

 private:
  std::int64_t num_, dim_, padding_idx_;
  Variable weight_;
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// What is added to a sequence of vectors (N,T,D) before the blocks of a transformer read it.
#pragma once

#include <limbeck/nn/module.h>

namespace limbeck {

/// y_nt = x_nt + "weight"_t for (N,T,D) with T up to `length`; weight (length,D), normal with
/// deviation 0.02 at first; it does not decay.
class PositionEmbedding : public Module {
 public:
  PositionEmbedding(std::int64_t length, std::int64_t dim, DType dtype = DType::f32,
                    Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  std::int64_t length_, dim_;
  Variable weight_;
};

/// (N,T,D) becomes (N,T+1,D): "weight" (1,1,D), 0 at first, comes before the others; it does not
/// decay.
class ClassToken : public Module {
 public:
  explicit ClassToken(std::int64_t dim, DType dtype = DType::f32, Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  std::int64_t dim_;
  Variable weight_;
};

}  // namespace limbeck

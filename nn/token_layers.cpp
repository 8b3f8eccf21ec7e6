// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/token_layers.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/embedding.h>
#include <limbeck/autograd/reshape.h>

namespace limbeck {
TypeEmbedding::TypeEmbedding(std::int64_t types, std::int64_t width, DType dtype, Device device)
    : weight_(Tensor::zeros({types, width}, dtype, device), true) {}

Variable TypeEmbedding::forward(const Variable& x, Context&) {
  const Shape& s = output_shape(x.shape());
  const Tensor ids = Tensor::zeros({s[0], s[1]}, DType::i32, x.value().device());
  return add(x, embedding(weight_, ids));
}

Shape TypeEmbedding::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 3 && input[2] == weight_.shape()[1], describe(),
                ": input has shape ", input, "; expected (N,T,", weight_.shape()[1], ")");
  return input;
}

std::vector<NamedParameter> TypeEmbedding::parameters() {
  return {{"weight", weight_, Layout::plain, {}, true, InitKind::normal}};
}

std::string TypeEmbedding::describe() const {
  return detail::concat("TypeEmbedding(", weight_.shape()[0], ", ", weight_.shape()[1], ")");
}

Variable ImageTokens::forward(const Variable& x, Context&) {
  return reshape(x, output_shape(x.shape()));
}

Shape ImageTokens::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 4, "ImageTokens: input has shape ", input, "; expected (N,H,W,C)");
  return {input[0], input[1] * input[2], input[3]};
}

}  // namespace limbeck

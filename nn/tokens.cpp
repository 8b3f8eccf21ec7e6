// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/tokens.h>

#include <limbeck/autograd/broadcast.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/reshape.h>

namespace limbeck {

PositionEmbedding::PositionEmbedding(std::int64_t length, std::int64_t dim, DType dtype,
                                     Device device)
    : length_(length), dim_(dim) {
  LIMBECK_CHECK(length >= 1 && dim >= 1, "PositionEmbedding: ", length, " positions of ", dim,
                "; expected both >= 1");
  weight_ = Variable(Tensor::zeros({length, dim}, dtype, device), true);
}

Variable PositionEmbedding::forward(const Variable& x, Context&) {
  const std::int64_t T = output_shape(x.shape())[1];
  return add_row(x, T == length_ ? weight_ : slice(weight_, 0, 0, T));
}

Shape PositionEmbedding::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 3 && 1 <= input[1] && input[1] <= length_ && input[2] == dim_,
                describe(), ": input has shape ", input, "; expected (N,1 to ", length_, ",", dim_,
                ")");
  return input;
}

std::vector<NamedParameter> PositionEmbedding::parameters() {
  NamedParameter weight = {"weight", weight_, Layout::plain, {}, false, InitKind::normal};
  weight.stddev = 0.02;
  return {weight};
}

std::string PositionEmbedding::describe() const {
  return detail::concat("PositionEmbedding(", length_, ", ", dim_, ")");
}

ClassToken::ClassToken(std::int64_t dim, DType dtype, Device device) : dim_(dim) {
  LIMBECK_CHECK(dim >= 1, "ClassToken: ", dim, " elements; expected >= 1");
  weight_ = Variable(Tensor::zeros({1, 1, dim}, dtype, device), true);
}

Variable ClassToken::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return concat({repeat_row(reshape(weight_, {1, dim_}), x.shape()[0]), x}, 1);
}

Shape ClassToken::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() == 3 && input[2] == dim_, describe(), ": input has shape ", input,
                "; expected (N,T,", dim_, ")");
  return {input[0], input[1] + 1, dim_};
}

std::vector<NamedParameter> ClassToken::parameters() {
  return {{"weight", weight_, Layout::plain, {}, false, InitKind::zeros}};
}

std::string ClassToken::describe() const { return detail::concat("ClassToken(", dim_, ")"); }

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/embedding.h>

#include <limbeck/autograd/embedding.h>

namespace limbeck {

Embedding::Embedding(std::int64_t num, std::int64_t dim, std::int64_t padding_idx, DType dtype,
                     Device device)
    : num_(num), dim_(dim), padding_idx_(padding_idx) {
  LIMBECK_CHECK(num >= 1 && dim >= 1, "Embedding: ", num, " rows of ", dim, "; expected both >= 1");
  LIMBECK_CHECK(-1 <= padding_idx && padding_idx < num, "Embedding: padding_idx is ", padding_idx,
                "; expected -1 to ", num - 1);
  weight_ = Variable(Tensor::zeros({num, dim}, dtype, device), true);
}

Variable Embedding::forward(const Variable& ids, Context&) {
  return embedding(weight_, ids.value(), padding_idx_);
}

Shape Embedding::output_shape(const Shape& input) const {
  std::vector<std::int64_t> extents(input.begin(), input.end());
  extents.push_back(dim_);
  return Shape(std::span<const std::int64_t>(extents));
}

std::vector<NamedParameter> Embedding::parameters() {
  NamedParameter weight = {"weight", weight_, Layout::plain, {}, true, InitKind::normal};
  weight.zero_row = padding_idx_;
  return {weight};
}

std::string Embedding::describe() const {
  return detail::concat("Embedding(", num_, ", ", dim_, ")");
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/group_norm.h>

#include <limbeck/autograd/channel_norm.h>

namespace limbeck {

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, double eps, bool affine,
                     DType dtype, Device device)
    : groups_(groups), channels_(channels), eps_(eps) {
  LIMBECK_CHECK(groups >= 1 && channels >= 1 && channels % groups == 0, "GroupNorm: ", groups,
                " groups of ", channels, " channels; expected a divisor");
  if (!affine) return;
  weight_ = Variable(Tensor::full({channels}, 1, dtype, device), true);
  bias_ = Variable(Tensor::zeros({channels}, dtype, device), true);
}

Variable GroupNorm::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return group_norm(x, groups_, weight_, bias_, eps_);
}

Variable GroupNorm::forward_relu(const Variable& x, const Variable& skip) {
  output_shape(x.shape());
  return group_norm(x, groups_, weight_, bias_, eps_, {.relu = true, .skip = skip});
}

Shape GroupNorm::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() >= 2 && input[input.rank() - 1] == channels_, describe(),
                ": input has shape ", input, "; expected (N,...,", channels_, ")");
  return input;
}

std::vector<NamedParameter> GroupNorm::parameters() {
  if (!weight_.defined()) return {};
  return {{"weight", weight_, Layout::plain, {}, false, InitKind::ones},
          {"bias", bias_, Layout::plain, {}, false, InitKind::zeros}};
}

std::string GroupNorm::describe() const {
  return detail::concat("GroupNorm(", groups_, ", ", channels_, ")");
}

}  // namespace limbeck

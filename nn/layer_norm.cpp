// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/layer_norm.h>

#include <limbeck/autograd/layer_norm.h>

namespace limbeck {
namespace {

Shape check_input(const Module& layer, const Shape& input, std::int64_t features) {
  LIMBECK_CHECK(input.rank() >= 2 && input[input.rank() - 1] == features, layer.describe(),
                ": input has shape ", input, "; expected (...,", features, ")");
  return input;
}

}  // namespace

LayerNorm::LayerNorm(std::int64_t features, double eps, bool bias, DType dtype, Device device)
    : features_(features), eps_(eps) {
  LIMBECK_CHECK(features >= 1, "LayerNorm: ", features, " features; expected >= 1");
  weight_ = Variable(Tensor::full({features}, 1, dtype, device), true);
  if (bias) bias_ = Variable(Tensor::zeros({features}, dtype, device), true);
}

Variable LayerNorm::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return layer_norm(x, weight_, bias_, eps_);
}

Shape LayerNorm::output_shape(const Shape& input) const {
  return check_input(*this, input, features_);
}

std::vector<NamedParameter> LayerNorm::parameters() {
  std::vector<NamedParameter> list = {
      {"weight", weight_, Layout::plain, {}, false, InitKind::ones}};
  if (bias_.defined()) list.push_back({"bias", bias_, Layout::plain, {}, false, InitKind::zeros});
  return list;
}

std::string LayerNorm::describe() const { return detail::concat("LayerNorm(", features_, ")"); }

RMSNorm::RMSNorm(std::int64_t features, double eps, DType dtype, Device device)
    : features_(features), eps_(eps) {
  LIMBECK_CHECK(features >= 1, "RMSNorm: ", features, " features; expected >= 1");
  weight_ = Variable(Tensor::full({features}, 1, dtype, device), true);
}

Variable RMSNorm::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return rms_norm(x, weight_, eps_);
}

Shape RMSNorm::output_shape(const Shape& input) const {
  return check_input(*this, input, features_);
}

std::vector<NamedParameter> RMSNorm::parameters() {
  return {{"weight", weight_, Layout::plain, {}, false, InitKind::ones}};
}

std::string RMSNorm::describe() const { return detail::concat("RMSNorm(", features_, ")"); }

}  // namespace limbeck

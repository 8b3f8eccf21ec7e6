// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/conv2d.h>

#include <limbeck/autograd/conv2d.h>

namespace limbeck {

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, const Conv2dOptions& options,
               bool bias, DType dtype, Device device)
    : options_(options) {
  LIMBECK_CHECK(in >= 1 && out >= 1 && kernel >= 1, "Conv2d: ", in, " in, ", out, " out, kernel ",
                kernel, "; expected all >= 1");
  LIMBECK_CHECK(options.stride >= 1 && options.padding >= 0 && options.dilation >= 1,
                "Conv2d: stride ", options.stride, ", padding ", options.padding, ", dilation ",
                options.dilation, "; expected stride, dilation >= 1 and padding >= 0");
  LIMBECK_CHECK(options.groups >= 1 && in % options.groups == 0 && out % options.groups == 0,
                "Conv2d: ", in, " in, ", out, " out, groups ", options.groups,
                "; expected groups to divide both");
  weight_ =
      Variable(Tensor::zeros({out, kernel, kernel, in / options.groups}, dtype, device), true);
  if (bias) bias_ = Variable(Tensor::zeros({out}, dtype, device), true);
}

Variable Conv2d::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return conv2d(x, weight_, bias_, options_);
}

Variable Conv2d::forward_relu(const Variable& x) {
  output_shape(x.shape());
  Conv2dOptions options = options_;
  options.relu = true;
  return conv2d(x, weight_, bias_, options);
}

Shape Conv2d::output_shape(const Shape& input) const {
  const Shape& w = weight_.shape();
  const std::int64_t channels = w[3] * options_.groups;
  const std::int64_t room = options_.dilation * (w[1] - 1) + 1 - 2 * options_.padding;
  LIMBECK_CHECK(input.rank() == 4 && input[3] == channels && input[1] >= room && input[2] >= room,
                describe(), ": input has shape ", input, "; expected (N,H,W,", channels,
                ") with H, W >= ", room);
  return conv2d_output_shape(input, w, options_);
}

std::vector<NamedParameter> Conv2d::parameters() {
  std::vector<NamedParameter> list = {{"weight", weight_, Layout::conv_ohwi, {}, true}};
  if (bias_.defined()) list.push_back({"bias", bias_, Layout::plain, {}, false});
  return list;
}

std::string Conv2d::describe() const {
  const Shape& w = weight_.shape();
  std::string text =
      detail::concat("Conv2d(", w[3] * options_.groups, ", ", w[0], ", kernel ", w[1], ", stride ",
                     options_.stride, ", padding ", options_.padding);
  if (options_.dilation > 1) text += detail::concat(", dilation ", options_.dilation);
  if (options_.groups > 1) text += detail::concat(", groups ", options_.groups);
  return text + ")";
}

}  // namespace limbeck

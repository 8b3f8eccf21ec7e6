// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/conv_transpose2d.h>

namespace limbeck {

ConvTranspose2d::ConvTranspose2d(std::int64_t in, std::int64_t out, std::int64_t kernel,
                                 const ConvTranspose2dOptions& options, bool bias, DType dtype,
                                 Device device)
    : options_(options) {
  const Conv2dOptions& o = options.conv;
  LIMBECK_CHECK(in >= 1 && out >= 1 && kernel >= 1, "ConvTranspose2d: ", in, " in, ", out,
                " out, kernel ", kernel, "; expected all >= 1");
  LIMBECK_CHECK(o.stride >= 1 && o.padding >= 0 && o.dilation >= 1, "ConvTranspose2d: stride ",
                o.stride, ", padding ", o.padding, ", dilation ", o.dilation,
                "; expected stride, dilation >= 1 and padding >= 0");
  LIMBECK_CHECK(0 <= options.output_padding && options.output_padding < o.stride,
                "ConvTranspose2d: output_padding ", options.output_padding, ", stride ", o.stride,
                "; expected 0 <= output_padding < stride");
  LIMBECK_CHECK(o.groups >= 1 && in % o.groups == 0 && out % o.groups == 0, "ConvTranspose2d: ", in,
                " in, ", out, " out, groups ", o.groups, "; expected groups to divide both");
  weight_ = Variable(Tensor::zeros({in, kernel, kernel, out / o.groups}, dtype, device), true);
  if (bias) bias_ = Variable(Tensor::zeros({out}, dtype, device), true);
}

Variable ConvTranspose2d::forward(const Variable& x, Context&) {
  output_shape(x.shape());
  return conv_transpose2d(x, weight_, bias_, options_);
}

Shape ConvTranspose2d::output_shape(const Shape& input) const {
  const Shape& w = weight_.shape();
  const std::int64_t reach = options_.conv.dilation * (w[1] - 1) + 1;  // of one input pixel
  const auto large_enough = [&](std::int64_t n) {
    return n >= 1 && (n - 1) * options_.conv.stride + reach + options_.output_padding >
                         2 * options_.conv.padding;
  };
  LIMBECK_CHECK(
      input.rank() == 4 && input[3] == w[0] && large_enough(input[1]) && large_enough(input[2]),
      describe(), ": input has shape ", input, "; expected (N,H,W,", w[0],
      ") with an output of at least 1x1");
  return conv_transpose2d_output_shape(input, w, options_);
}

std::vector<NamedParameter> ConvTranspose2d::parameters() {
  std::vector<NamedParameter> list = {{"weight", weight_, Layout::conv_ohwi, {}, true}};
  if (bias_.defined()) list.push_back({"bias", bias_, Layout::plain, {}, false});
  return list;
}

std::string ConvTranspose2d::describe() const {
  const Shape& w = weight_.shape();
  const Conv2dOptions& o = options_.conv;
  std::string text = detail::concat("ConvTranspose2d(", w[0], ", ", w[3] * o.groups, ", kernel ",
                                    w[1], ", stride ", o.stride, ", padding ", o.padding);
  if (options_.output_padding > 0)
    text += detail::concat(", output padding ", options_.output_padding);
  if (o.dilation > 1) text += detail::concat(", dilation ", o.dilation);
  if (o.groups > 1) text += detail::concat(", groups ", o.groups);
  return text + ")";
}

}  // namespace limbeck

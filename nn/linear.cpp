// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/linear.h>

#include <limbeck/autograd/linear.h>
#include <limbeck/autograd/reshape.h>

namespace limbeck {

Linear::Linear(std::int64_t in, std::int64_t out, bool bias, DType dtype, Device device,
               const Shape& image)
    : in_(in), out_(out), image_(image) {
  LIMBECK_CHECK(in >= 1 && out >= 1, "Linear: ", in, " in, ", out, " out; expected both >= 1");
  LIMBECK_CHECK(image.rank() == 0 || (image.rank() == 3 && image.numel() == in), "Linear: image ",
                image, " for ", in, " inputs; expected (H,W,C) of as many elements");
  weight_ = Variable(Tensor::zeros({out, in}, dtype, device), true);
  if (bias) bias_ = Variable(Tensor::zeros({out}, dtype, device), true);
}

Variable Linear::forward(const Variable& x, Context&) { return forward_fused(x, Activation::none); }

Variable Linear::forward_fused(const Variable& x, Activation act) {
  const std::int64_t N = output_shape(x.shape())[0];
  return linear(x.shape().rank() == 2 ? x : reshape(x, {N, in_}), weight_, bias_, act);
}

Shape Linear::output_shape(const Shape& input) const {
  std::int64_t features = input.rank() >= 2 ? 1 : -1;
  for (int i = 1; i < input.rank(); ++i) features *= input[i];
  LIMBECK_CHECK(features == in_, describe(), ": input has shape ", input, "; expected (N,", in_,
                ") or an image of ", in_, " elements");
  return {input[0], out_};
}

std::vector<NamedParameter> Linear::parameters() {
  const Layout layout = image_.rank() == 3 ? Layout::linear_hwc : Layout::plain;
  std::vector<NamedParameter> list = {{"weight", weight_, layout, image_, true}};
  if (bias_.defined()) list.push_back({"bias", bias_, Layout::plain, {}, false});
  return list;
}

std::string Linear::describe() const { return detail::concat("Linear(", in_, ", ", out_, ")"); }

}  // namespace limbeck

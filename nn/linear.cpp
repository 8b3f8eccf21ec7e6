// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/linear.h>

#include <limbeck/autograd/joined_linear.h>
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

Linear::Linear(const Variable& tied_weight) : tied_(true), weight_(tied_weight) {
  LIMBECK_CHECK(weight_.shape().rank() == 2, "Linear: tied weight has shape ", weight_.shape(),
                "; expected (O,I)");
  out_ = weight_.shape()[0];
  in_ = weight_.shape()[1];
}

Variable Linear::forward(const Variable& x, Context&) { return forward_fused(x, Activation::none); }

Variable Linear::forward_fused(const Variable& x, Activation act, const PackedWeight& packed) {
  const Shape out = output_shape(x.shape());
  const bool flat = x.shape().rank() == 2;
  const Variable rows = flat ? x : reshape(x, {x.shape().numel() / in_, in_});
  const LinearLayer frozen = {weight_, bias_, act, packed, true};
  const Variable y = packed.empty() ? linear(rows, weight_, bias_, act)
                                    : joined_linear(rows, std::span(&frozen, 1))[0];
  return flat ? y : reshape(y, out);
}

Shape Linear::output_shape(const Shape& input) const {
  const int rank = input.rank();
  const std::int64_t features = rank == 4   ? input[1] * input[2] * input[3]
                                : rank >= 2 ? input[rank - 1]
                                            : -1;
  LIMBECK_CHECK(features == in_ && rank <= 4, describe(), ": input has shape ", input,
                "; expected (N,", in_, "), (N,T,", in_, ") or an image of ", in_, " elements");
  return rank == 3 ? Shape{input[0], input[1], out_} : Shape{input[0], out_};
}

std::vector<NamedParameter> Linear::parameters() {
  if (tied_) return {};
  const Layout layout = image_.rank() == 3 ? Layout::linear_hwc : Layout::plain;
  std::vector<NamedParameter> list = {{"weight", weight_, layout, image_, true}};
  if (bias_.defined()) list.push_back({"bias", bias_, Layout::plain, {}, false});
  return list;
}

std::string Linear::describe() const { return detail::concat("Linear(", in_, ", ", out_, ")"); }

}  // namespace limbeck

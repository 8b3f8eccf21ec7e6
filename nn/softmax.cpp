// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/softmax.h>

#include <limbeck/autograd/log_softmax.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/softmax.h>

namespace limbeck {
namespace {

Shape check_input(const Module& layer, const Shape& input) {
  LIMBECK_CHECK(input.rank() >= 2 && input[input.rank() - 1] >= 1, layer.describe(),
                ": input has shape ", input, "; expected (...,V) with V >= 1");
  return input;
}

Variable rows_of(const Variable& x) {
  const std::int64_t V = x.shape()[x.shape().rank() - 1];
  return reshape(x, {x.shape().numel() / V, V});
}

}  // namespace

Variable Softmax::forward(const Variable& x, Context&) {
  const Shape shape = output_shape(x.shape());
  return reshape(softmax(rows_of(x)), shape);
}

Shape Softmax::output_shape(const Shape& input) const { return check_input(*this, input); }

Variable LogSoftmax::forward(const Variable& x, Context&) {
  const Shape shape = output_shape(x.shape());
  return reshape(log_softmax(rows_of(x)), shape);
}

Shape LogSoftmax::output_shape(const Shape& input) const { return check_input(*this, input); }

}  // namespace limbeck

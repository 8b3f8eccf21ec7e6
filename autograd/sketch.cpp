// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/sketch.h>

namespace limbeck {
namespace {

Tensor codes_like(const Tensor& x, std::int64_t K) {
  LIMBECK_CHECK(x.rank() == 2, "sketch: x has shape ", x.shape(), "; expected (N,D)");
  return Tensor::empty({x.dim(0), K}, x.dtype(), x.device());
}

}  // namespace

Variable count_sketch(const Variable& x, const CountSketchPlan& plan) {
  Tensor y = codes_like(x.value(), plan.K);
  count_sketch_forward(y, x.value(), plan);
  const Shape shape = x.shape();
  return record("count_sketch", y, {x},
                [plan, shape](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
                  count_sketch_backward(dx, dy, plan);
                  inputs[0].give(dx);
                });
}

Variable tensor_sketch(const Variable& x, const TensorSketchPlan& plan) {
  LIMBECK_CHECK(!plan.factors.empty(), "tensor_sketch: plan is empty");
  Tensor y = codes_like(x.value(), plan.factors[0].K);
  tensor_sketch_forward(y, x.value(), plan);
  const Tensor saved = x.value();
  return record("tensor_sketch", y, {x},
                [plan, saved](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = Tensor::empty_like(saved);
                  tensor_sketch_backward(dx, dy, saved, plan);
                  inputs[0].give(dx);
                });
}

}  // namespace limbeck

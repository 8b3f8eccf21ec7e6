// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/projection.h>

#include <limbeck/kernels/rademacher_projection.h>

namespace limbeck {
namespace {

void check_matrix(const char* op, const Variable& x) {
  LIMBECK_CHECK(x.value().rank() == 2, op, ": x has shape ", x.shape(), "; expected (N,D)");
}

Tensor empty_rows(const Tensor& like, std::int64_t columns) {
  return Tensor::empty({like.dim(0), columns}, like.dtype(), like.device());
}

}  // namespace

Variable rademacher_projection(const Variable& x, std::int64_t K, const RademacherMatrix& matrix) {
  check_matrix("rademacher_projection", x);
  const std::int64_t D = x.value().dim(1);
  Tensor y = empty_rows(x.value(), K);
  rademacher_projection_forward(y, x.value(), matrix);
  return record("rademacher_projection", y, {x},
                [D, matrix](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = empty_rows(dy, D);
                  rademacher_projection_backward(dx, dy, matrix);
                  inputs[0].give(dx);
                });
}

Variable srht(const Variable& x, const SrhtPlan& plan) {
  check_matrix("srht", x);
  Tensor y = empty_rows(x.value(), plan.K);
  srht_forward(y, x.value(), plan);
  return record("srht", y, {x}, [plan](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = empty_rows(dy, plan.D);
    srht_backward(dx, dy, plan);
    inputs[0].give(dx);
  });
}

Variable dense_projection(const Variable& x, const DenseProjection& p) {
  check_matrix("dense_projection", x);
  LIMBECK_CHECK(p.w.defined() && p.w.rank() == 2, "dense_projection: w has shape ",
                p.w.defined() ? p.w.shape() : Shape{}, "; expected (K,D)");
  const std::int64_t K = p.w.dim(0);
  Tensor y = empty_rows(x.value(), p.epilogue == ProjectionEpilogue::cos_sin ? 2 * K : K);
  Tensor saved;
  if (p.epilogue == ProjectionEpilogue::square && records({&x, 1})) {
    const DType wide = y.dtype() == DType::f64 ? DType::f64 : DType::f32;
    saved = Tensor::empty(y.shape(), wide, y.device());
  }
  dense_projection_forward(y, saved.defined() ? &saved : nullptr, x.value(), p);
  if (p.epilogue == ProjectionEpilogue::cos_sin) saved = y;
  return record("dense_projection", y, {x},
                [saved, p](const Tensor& dy, std::span<InputGrad> inputs) {
                  Tensor dx = empty_rows(dy, p.w.dim(1));
                  dense_projection_backward(dx, dy, saved, p);
                  inputs[0].give(dx);
                });
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/matmul.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/kernels/gemm.h>
#include <limbeck/kernels/onednn.h>

namespace limbeck {
namespace {

Shape op_shape(const Tensor& t, Trans trans) {
  return trans == Trans::yes ? Shape{t.dim(1), t.dim(0)} : t.shape();
}

void check_like(const char* op, const char* what, const Tensor& t, const Tensor& reference) {
  LIMBECK_CHECK(t.device() == reference.device() && t.dtype() == reference.dtype(), op, ": ", what,
                " is ", t.dtype(), " on ", t.device(), "; expected ", reference.dtype(), " on ",
                reference.device());
}

// c of the factors' dtype, or f32 for 16-bit factors.
void check_result(const char* op, const Tensor& c, const Tensor& a) {
  if (c.dtype() == DType::f32 && dtype_size(a.dtype()) == 2)
    LIMBECK_CHECK(c.device() == a.device(), op, ": c is on ", c.device(), "; expected ",
                  a.device());
  else
    check_like(op, "c", c, a);
}

void check_matrix(const char* op, const char* what, const Tensor& t) {
  LIMBECK_CHECK(t.defined() && t.rank() == 2, op, ": ", what, " has shape ",
                t.defined() ? t.shape() : Shape{}, "; expected a matrix");
  LIMBECK_CHECK(is_floating(t.dtype()), op, ": ", what, " is ", t.dtype(),
                "; expected a floating dtype");
}

}  // namespace

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  check_matrix("matmul", "a", a);
  check_matrix("matmul", "b", b);
  check_matrix("matmul", "c", c);
  check_like("matmul", "b", b, a);
  check_result("matmul", c, a);
  const Shape sa = op_shape(a, trans_a), sb = op_shape(b, trans_b);
  LIMBECK_CHECK(sa[1] == sb[0], "matmul: op(a) has shape ", sa, ", op(b) ", sb,
                "; expected (M,K) and (K,N)");
  LIMBECK_CHECK((c.shape() == Shape{sa[0], sb[1]}), "matmul: c has shape ", c.shape(),
                "; expected ", Shape{sa[0], sb[1]});
  LIMBECK_DISPATCH(a.device(), matmul(c, a, trans_a, b, trans_b, out));
}

void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act) {
  check_matrix("linear", "x", x);
  check_matrix("linear", "w", w);
  check_like("linear", "w", w, x);
  check_like("linear", "y", y, x);
  LIMBECK_CHECK(x.dim(1) == w.dim(1), "linear: x has shape ", x.shape(), ", w ", w.shape(),
                "; expected (N,I) and (O,I)");
  const Shape expected{x.dim(0), w.dim(0)};
  LIMBECK_CHECK(y.shape() == expected, "linear: y has shape ", y.shape(), "; expected ", expected);
  if (pre != nullptr) {
    check_like("linear", "pre", *pre, x);
    LIMBECK_CHECK(pre->shape() == expected, "linear: pre has shape ", pre->shape(), "; expected ",
                  expected);
  }
  if (bias.defined()) {
    check_like("linear", "bias", bias, x);
    LIMBECK_CHECK(bias.shape() == Shape{w.dim(0)}, "linear: bias has shape ", bias.shape(),
                  "; expected ", Shape{w.dim(0)});
  }
  LIMBECK_DISPATCH(x.device(), linear_forward(y, pre, x, w, bias, act));
}

namespace cpu {
namespace {

template <class T>
Strided<const T> operand(const Tensor& t, Trans trans) {
  const T* p = t.data<T>();
  return trans == Trans::yes ? Strided<const T>{p, 1, t.dim(1)} : Strided<const T>{p, t.dim(1), 1};
}

// c = op(a) op(b) + bias for the rows of op(a) from `first` on that c has room for; c of the type
// sums are taken in, bias of the same or undefined.
void exact_rows(Tensor& c, std::int64_t first, const Tensor& a, Trans trans_a, const Tensor& b,
                Trans trans_b, Out out, const Tensor& bias, bool relu) {
  visit_floating(a.dtype(), [&](auto tag) {
    using In = typename decltype(tag)::type;
    using T = ComputeType<In>;
    Strided<const In> rows = operand<In>(a, trans_a);
    rows.p += first * rows.row;
    gemm<T, In>(c.dim(0), c.dim(1), op_shape(a, trans_a)[1], rows, operand<In>(b, trans_b),
                c.data<T>(), c.dim(1), out == Out::add,
                {bias.defined() ? bias.data<T>() : nullptr, relu});
  });
}

// A 16-bit c takes the f32 sums of some rows at a time: of 128, or of more that fill 4 MiB.
void exact_product(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b,
                   Out out, const Tensor& bias = {}, bool relu = false) {
  if (dtype_size(c.dtype()) > 2) return exact_rows(c, 0, a, trans_a, b, trans_b, out, bias, relu);
  const Tensor wide_bias = bias.defined() ? bias.to(DType::f32) : bias;
  const std::int64_t M = c.dim(0), block = std::max<std::int64_t>(128, (1 << 20) / (c.dim(1) + 1));
  for (std::int64_t i = 0; i < M; i += block) {
    Tensor part = c.rows(i, std::min(M, i + block));
    Tensor wide = out == Out::add ? part.to(DType::f32) : Tensor::empty(part.shape());
    exact_rows(wide, i, a, trans_a, b, trans_b, out, wide_bias, relu);
    part.copy_from(wide.to(c.dtype()));
  }
}

// y = x w^T + bias, with relu when asked for.
void affine(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  if (math_mode() == MathMode::fast && onednn::linear_forward(y, x, w, bias, relu)) return;
  exact_product(y, x, Trans::no, w, Trans::yes, Out::write, bias, relu);
}

}  // namespace

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  if (math_mode() == MathMode::fast && onednn::matmul(c, a, trans_a, b, trans_b, out)) return;
  exact_product(c, a, trans_a, b, trans_b, out);
}

void linear_forward(Tensor& y, Tensor* pre, const Tensor& x, const Tensor& w, const Tensor& bias,
                    Activation act) {
  Tensor& z = pre != nullptr ? *pre : y;
  const bool relu = act == Activation::relu && pre == nullptr;
  affine(z, x, w, bias, relu);
  if (act != Activation::none && !relu)
    cpu::activation_forward(y, z, act);
  else if (pre != nullptr)
    y.copy_from(z);
}

}  // namespace cpu

}  // namespace limbeck

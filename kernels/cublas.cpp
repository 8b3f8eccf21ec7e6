// SPDX-License-Identifier: Apache-2.0
// The library is column-major: a row-major matrix is its transpose there, so c = op(a) op(b) is
// asked for as c^T = op(b)^T op(a)^T, and the library's first operand is our b.
#include <limbeck/kernels/cublas.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/pool.h>

namespace limbeck::cublas {
namespace {

Matrix transposed(Tensor t) { return {t.raw(), t.dtype(), t.dim(1), t.dim(0), t.dim(1)}; }

Product product_of(const char* call, const Tensor& c, const Tensor& a, Trans trans_a,
                   const Tensor& b, Trans trans_b) {
  return {.call = call,
          .device = c.device().index(),
          .a = transposed(b),
          .b = transposed(a),
          .c = transposed(c),
          .transpose_a = trans_b == Trans::yes,
          .transpose_b = trans_a == Trans::yes,
          .tf32 = a.dtype() == DType::f32 && math_mode() == MathMode::fast};
}

void run(Product p) {
  p.workspace_bytes = workspace_bytes(p);
  const auto workspace =
      p.workspace_bytes ? pool_allocate(Device::cuda(p.device), p.workspace_bytes) : nullptr;
  p.workspace = workspace.get();
  detail::count_cuda_launch();
  multiply(p);
}

Epilogue epilogue(bool bias, bool relu) {
  if (bias) return relu ? Epilogue::relu_bias : Epilogue::bias;
  return relu ? Epilogue::relu : Epilogue::none;
}

}  // namespace

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  Product p = product_of("cublas::matmul", c, a, trans_a, b, trans_b);
  p.beta = out == Out::add ? 1 : 0;
  run(p);
}

void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  Product p = product_of("cublas::linear", y, x, Trans::no, w, Trans::yes);
  p.epilogue = epilogue(bias.defined(), relu);
  if (bias.defined()) p.bias = bias.raw();
  run(p);
}

}  // namespace limbeck::cublas

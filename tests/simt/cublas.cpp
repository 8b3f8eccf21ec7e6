// SPDX-License-Identifier: Apache-2.0
// kernels/cublas.h on the emulated GPU: checked arguments, and the CPU twin when the call's turn
// comes.
#include <limbeck/kernels/cublas.h>

#include <optional>

#include <limbeck/tests/simt/library.h>

namespace limbeck::cublas {

using simt::Argument;

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  const char* call = "cublas::matmul";
  const std::int64_t M = c.dim(0), N = c.dim(1), K = a.dim(trans_a == Trans::yes ? 0 : 1);
  const auto shape = [](std::int64_t rows, std::int64_t columns, Trans trans) {
    return trans == Trans::yes ? Shape{columns, rows} : Shape{rows, columns};
  };
  const Argument to(call, "c", c, c.dtype(), c.shape());
  const Argument left(call, "a", a, c.dtype(), shape(M, K, trans_a));
  const Argument right(call, "b", b, c.dtype(), shape(K, N, trans_b));
  simt::enqueue_call([=] {
    Tensor result = to.fetch();
    cpu::matmul(result, left.fetch(), trans_a, right.fetch(), trans_b, out);
    to.store(result);
  });
}

void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  const char* call = "cublas::linear";
  const std::int64_t N = y.dim(0), O = y.dim(1), I = x.dim(1);
  const Argument to(call, "y", y, y.dtype(), y.shape());
  const Argument input(call, "x", x, y.dtype(), {N, I});
  const Argument weight(call, "w", w, y.dtype(), {O, I});
  std::optional<Argument> added;
  if (bias.defined()) added.emplace(call, "bias", bias, y.dtype(), Shape{O});
  simt::enqueue_call([=] {
    Tensor result = to.fetch();
    cpu::linear_forward(result, nullptr, input.fetch(), weight.fetch(),
                        added ? added->fetch() : Tensor(),
                        relu ? Activation::relu : Activation::none);
    to.store(result);
  });
}

}  // namespace limbeck::cublas

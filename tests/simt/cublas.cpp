// SPDX-License-Identifier: Apache-2.0
// kernels/cublas.h on the emulated GPU: checked copies to the host, the CPU twin, a copy back.
#include <limbeck/kernels/cublas.h>

#include <limbeck/tests/simt/on_host.h>

namespace limbeck::cublas {

using simt::on_host;

void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  const char* call = "cublas::matmul";
  Tensor result = on_host(call, "c", c);
  cpu::matmul(result, on_host(call, "a", a), trans_a, on_host(call, "b", b), trans_b, out);
  c.copy_from(result);
}

void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  const char* call = "cublas::linear";
  Tensor result = on_host(call, "y", y);
  cpu::linear_forward(result, nullptr, on_host(call, "x", x), on_host(call, "w", w),
                      bias.defined() ? on_host(call, "bias", bias) : Tensor(),
                      relu ? Activation::relu : Activation::none);
  y.copy_from(result);
}

}  // namespace limbeck::cublas

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/gram.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {

Variable gram(const Variable& x, GramGradient gradient) {
  const Tensor& xv = x.value();
  LIMBECK_CHECK(xv.rank() == 2, "gram: x has shape ", xv.shape(), "; expected (N,D)");
  Tensor g = Tensor::empty({xv.dim(0), xv.dim(0)}, xv.dtype(), xv.device());
  matmul(g, xv, Trans::no, xv, Trans::yes);
  return record("gram", g, {x}, [xv, gradient](const Tensor& dg, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::empty_like(xv);
    matmul(dx, dg, Trans::no, xv, Trans::no);
    if (gradient == GramGradient::symmetric)
      scale(dx, dx, 2);
    else
      matmul(dx, dg, Trans::yes, xv, Trans::no, Out::add);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck

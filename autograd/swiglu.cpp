// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/swiglu.h>

#include <limbeck/kernels/swiglu.h>

namespace limbeck {

Variable swiglu(const Variable& a, const Variable& b) {
  const Tensor av = a.value(), bv = b.value();
  Tensor y = Tensor::empty_like(av);
  swiglu_forward(y, av, bv);
  return record("swiglu", y, {a, b}, [av, bv](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor da = Tensor::empty_like(av), db = dy;
    swiglu_backward(da, db, dy, av, bv);
    inputs[0].give(da);
    inputs[1].give(db);
  });
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/dropout.h>

namespace limbeck {

Variable dropout(const Variable& x, const DropoutOptions& options) {
  if (options.p == 0) return x;
  Tensor y = Tensor::empty_like(x.value());
  dropout(y, x.value(), options);
  return record("dropout", y, {x}, [options](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    dropout(dx, dy, options);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck

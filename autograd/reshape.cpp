// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/reshape.h>

namespace limbeck {

Variable reshape(const Variable& x, const Shape& shape) {
  const Shape from = x.shape();
  return record(
      "reshape", x.value().reshape(shape), {x},
      [from](const Tensor& dy, std::span<InputGrad> inputs) { inputs[0].give(dy.reshape(from)); });
}

}  // namespace limbeck

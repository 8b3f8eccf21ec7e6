// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/rotary.h>

namespace limbeck {

Variable rotary(const Variable& x, const Tensor& table, std::int64_t heads) {
  Tensor y = Tensor::empty_like(x.value());
  rotary(y, x.value(), table, heads);
  return record("rotary", y, {x}, [table, heads](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;  // in place: dy is this node's own
    rotary(dx, dy, table, heads, Rotation::inverse);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck

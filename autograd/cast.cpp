// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/cast.h>

namespace limbeck {

Variable cast(const Variable& x, DType dtype) {
  const DType from = x.value().dtype();
  LIMBECK_CHECK(is_floating(from) && is_floating(dtype), "cast: ", from, " to ", dtype,
                "; expected floating dtypes");
  if (from == dtype) return x;
  return record(
      "cast", x.value().to(dtype), {x},
      [from](const Tensor& dy, std::span<InputGrad> inputs) { inputs[0].give(dy.to(from)); });
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/token_pool.h>

namespace limbeck {

Variable token_pool(const Variable& x, const Tensor& lengths, TokenPool pool) {
  const Tensor& value = x.value();
  const Shape shape = value.shape();
  LIMBECK_CHECK(shape.rank() == 3, "token_pool: x has shape ", shape, "; expected (N,T,D)");
  Tensor y = Tensor::empty({shape[0], shape[2]}, value.dtype(), value.device());
  token_pool_forward(y, value, lengths, pool);
  return record("token_pool", y, {x},
                [shape, lengths, pool](const Tensor& dy, std::span<InputGrad> inputs) {
                  if (!inputs[0].needed()) return;
                  Tensor dx = Tensor::empty(shape, dy.dtype(), dy.device());
                  token_pool_backward(dx, dy, lengths, pool);
                  inputs[0].give(dx);
                });
}

}  // namespace limbeck

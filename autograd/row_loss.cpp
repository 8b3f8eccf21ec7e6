// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/row_loss.h>

#include <algorithm>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {

double counted_rows(const Tensor& labels, std::int64_t N) {
  if (labels.defined()) {
    const std::vector<std::int32_t> host = labels.to_vector<std::int32_t>();
    N -= std::count(host.begin(), host.end(), kIgnoreIndex);
  }
  return static_cast<double>(std::max<std::int64_t>(N, 1));
}

Variable row_loss(const char* op, const Variable& logits, const Tensor& row_loss,
                  const Tensor& dlogits, double mean_over) {
  Tensor loss = Tensor::empty({1}, row_loss.dtype(), row_loss.device());
  sum_rows(loss, row_loss.reshape({row_loss.numel(), 1}));
  scale(loss, loss, 1.0 / mean_over);
  return record(op, loss, {logits}, [dlogits](const Tensor& dloss, std::span<InputGrad> inputs) {
    Tensor dx = dlogits;
    scale_by(dx, dx, dloss);
    inputs[0].give(dx);
  });
}

}  // namespace limbeck

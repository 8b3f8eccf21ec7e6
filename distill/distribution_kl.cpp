// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/distribution_kl.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {

Variable distribution_kl(const DistributionVariables& p, const DistributionVariables& q,
                         const DistributionKlOptions& options) {
  const Tensor& mean = p.mean.value();
  LIMBECK_CHECK(mean.rank() == 2, "distribution_kl: p's mean has shape ", mean.shape(),
                "; expected (R,C)");
  const auto grad_of = [&](const Variable& v) {
    return records({&v, 1}) ? Tensor::empty_like(mean) : Tensor();
  };
  DistributionKlOutputs out;
  out.row_loss = Tensor::empty({mean.dim(0)}, mean.dtype() == DType::f64 ? DType::f64 : DType::f32,
                               mean.device());
  out.dp = {grad_of(p.mean), grad_of(p.log_scale)};
  out.dq = {grad_of(q.mean), grad_of(q.log_scale)};
  DistributionKlOptions all = options;
  if (all.mean_over == 0) all.mean_over = static_cast<double>(mean.dim(0));
  distribution_kl_forward_with_grad(out, {mean, p.log_scale.value()},
                                    {q.mean.value(), q.log_scale.value()}, all);
  Tensor loss = Tensor::empty({1}, out.row_loss.dtype(), mean.device());
  sum_rows(loss, out.row_loss.reshape({mean.dim(0), 1}));
  scale(loss, loss, 1 / all.mean_over);
  const std::vector<Tensor> grads{out.dp.mean, out.dp.log_scale, out.dq.mean, out.dq.log_scale};
  return record("distribution_kl", loss, {p.mean, p.log_scale, q.mean, q.log_scale},
                [grads](const Tensor& dloss, std::span<InputGrad> inputs) {
                  for (std::size_t i = 0; i < grads.size(); ++i) {
                    if (!inputs[i].needed()) continue;
                    Tensor dx = grads[i];
                    scale_by(dx, dx, dloss);
                    inputs[i].give(dx);
                  }
                });
}

}  // namespace limbeck

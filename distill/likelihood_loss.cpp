// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/likelihood_loss.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

Tensor value_or_none(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

/// Where an input's gradient is kept, and whether to add to what is there.
LikelihoodParameterGrad buffer_of(InputGrad& input) {
  LikelihoodParameterGrad buffer;
  input.accumulate([&](Tensor& grad, Out out) { buffer = {grad, out}; });
  return buffer;
}

}  // namespace

LikelihoodParameters LikelihoodScales::values() const {
  return {value_or_none(rho_v), value_or_none(rho_b), value_or_none(kappa)};
}

Variable likelihood_loss(const Variable& mu, const Tensor& t, const LikelihoodScales& scales,
                         const LikelihoodOptions& options) {
  const Tensor& predicted = mu.value();
  LIMBECK_CHECK(predicted.rank() == 2, "likelihood_loss: mu has shape ", predicted.shape(),
                "; expected (R,C)");
  const Tensor target = t.to(predicted.dtype());
  const LikelihoodParameters parameters = scales.values();
  LikelihoodOptions all = options;
  if (all.mean_over == 0) all.mean_over = static_cast<double>(predicted.dim(0));
  LikelihoodOutputs out;
  out.row_loss =
      Tensor::empty({predicted.dim(0)}, predicted.dtype() == DType::f64 ? DType::f64 : DType::f32,
                    predicted.device());
  likelihood_loss_forward_with_grad(out, predicted, target, parameters, all);
  Tensor loss = Tensor::empty({1}, out.row_loss.dtype(), predicted.device());
  sum_rows(loss, out.row_loss.reshape({predicted.dim(0), 1}));
  scale(loss, loss, 1 / all.mean_over);
  return record("likelihood_loss", loss, {mu, scales.rho_v, scales.rho_b, scales.kappa},
                [=](const Tensor& dloss, std::span<InputGrad> inputs) {
                  LikelihoodOutputs grads;
                  if (inputs[0].needed()) grads.dmu = Tensor::empty_like(predicted);
                  grads.drho_v = buffer_of(inputs[1]);
                  grads.drho_b = buffer_of(inputs[2]);
                  grads.dkappa = buffer_of(inputs[3]);
                  likelihood_loss_forward_with_grad(grads, predicted, target, parameters, all,
                                                    dloss);
                  if (inputs[0].needed()) inputs[0].give(grads.dmu);
                });
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/recompute.h>

namespace limbeck {
namespace {

Tensor forward_only(const Variable& x, const std::function<Variable(const Variable&)>& body) {
  const NoGrad no_grad;
  return body(x).value();
}

}  // namespace

Variable recompute(const Variable& x, const std::vector<Variable>& parameters,
                   std::function<Variable(const Variable&)> body) {
  std::vector<Variable> inputs = {x};
  inputs.insert(inputs.end(), parameters.begin(), parameters.end());
  const Tensor y = forward_only(x, body);
  return record("recompute", y, std::move(inputs),
                [xv = x.value(), body](const Tensor& dy, std::span<InputGrad> grads) {
                  const Variable again(xv, grads[0].needed());
                  const Variable result = body(again);
                  if (!result.requires_grad()) return;
                  result.backward(dy);  // leaves the parameters' gradients where they belong
                  if (again.grad().defined()) grads[0].give(again.grad());
                });
}

}  // namespace limbeck

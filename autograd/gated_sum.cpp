// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/gated_sum.h>

#include <limbeck/kernels/gated_sum.h>

namespace limbeck {

Variable gated_sum(const Variable& gates, const std::vector<Variable>& peers) {
  std::vector<Variable> inputs = {gates};
  std::vector<Tensor> values;
  for (const Variable& peer : peers) {
    inputs.push_back(peer);
    values.push_back(peer.value());
  }
  LIMBECK_CHECK(!values.empty(), "gated_sum: 0 peers; expected 1 to ", kMaxPeers);
  Tensor y = Tensor::empty_like(values[0]);
  const Tensor& gate = gates.value();
  gated_sum_forward(y, gate, values);
  return record("gated_sum", y, inputs,
                [gate, values](const Tensor& dy, std::span<InputGrad> grads) {
                  Tensor dgates;
                  if (grads[0].needed()) dgates = Tensor::empty_like(gate);
                  std::vector<Tensor> dpeers(values.size());
                  for (std::size_t i = 0; i < values.size(); ++i)
                    if (grads[i + 1].needed()) dpeers[i] = Tensor::empty_like(dy);
                  gated_sum_backward(dgates, dpeers, dy, gate, values);
                  if (dgates.defined()) grads[0].give(dgates);
                  for (std::size_t i = 0; i < values.size(); ++i)
                    if (dpeers[i].defined()) grads[i + 1].give(dpeers[i]);
                });
}

}  // namespace limbeck

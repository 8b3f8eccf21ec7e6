// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/gated_ensemble.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/autograd/gated_sum.h>
#include <limbeck/autograd/row_loss.h>
#include <limbeck/autograd/softmax.h>
#include <limbeck/distill/kd_loss.h>
#include <limbeck/nn/init.h>

namespace limbeck {
namespace {

Variable side_by_side(const std::vector<Variable>& peers) {
  std::vector<Variable> values;
  for (const Variable& peer : peers) values.emplace_back(peer.value());
  return concat(values, -1);
}

}  // namespace

GatedEnsemble::GatedEnsemble(std::int64_t in, std::int64_t peers, std::uint64_t seed, DType dtype,
                             Device device)
    : peers_(peers), gate_(in, peers, true, dtype, device) {
  initialize(gate_, Init::torch_default, seed);
}

std::vector<NamedParameter> GatedEnsemble::parameters() {
  std::vector<NamedParameter> list = gate_.parameters();
  for (NamedParameter& p : list) p.name = "gate." + p.name;
  return list;
}

Variable GatedEnsemble::gates(const std::vector<Variable>& peers, const Variable& x) {
  LIMBECK_CHECK(static_cast<std::int64_t>(peers.size()) == peers_, "GatedEnsemble: ", peers.size(),
                " peers; expected ", peers_);
  Context context;
  return softmax(gate_.forward(x.defined() ? x : side_by_side(peers), context));
}

Variable GatedEnsemble::logits(const std::vector<Variable>& peers, const Variable& x) {
  return gated_sum(gates(peers, x), peers);
}

Variable GatedEnsemble::loss(const std::vector<Variable>& peers, const Tensor& labels,
                             const GatedEnsembleOptions& options, const Variable& x) {
  const Variable ensemble = logits(peers, x);
  const double rows =
      options.mean_over > 0 ? options.mean_over : counted_rows(labels, ensemble.shape()[0]);
  const KdLossOptions taught = {.tau = options.tau,
                                .kd_weight = options.kd_weight,
                                .ce_weight = options.peer_weight,
                                .mean_over = rows};
  Variable total =
      scale(cross_entropy(ensemble, labels, {.mean_over = rows}), options.ensemble_weight);
  for (const Variable& peer : peers)
    total = add(total, kd_loss(peer, ensemble.value(), labels, taught));
  return total;
}

}  // namespace limbeck

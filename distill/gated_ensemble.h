// SPDX-License-Identifier: Apache-2.0
// An ensemble that a gate weighs sample by sample: Lan, Zhu, Gong (NeurIPS 2018), "Knowledge
// distillation by on-the-fly native ensemble" (ONE).
#pragma once

#include <vector>

#include <limbeck/nn/linear.h>

namespace limbeck {

struct GatedEnsembleOptions {
  double tau = 3;              ///< of both distributions in the divergence
  double ensemble_weight = 1;  ///< of the ensemble's own cross-entropy
  double kd_weight = 1;        ///< of each peer's tau^2 KL(ensemble || peer)
  double peer_weight = 1;      ///< of each peer's cross-entropy
  double mean_over = 0;        ///< rows the loss is a mean over, as CrossEntropyOptions
};

/// With z_i the K peers' logits (N,V), x what the gate sees and g = softmax(gate(x)) (N,K):
///   z_e  = sum_i g_i z_i
///   loss = ensemble_weight CE(z_e) + sum_i (peer_weight CE(z_i) + kd_weight tau^2 KL(p_e || p_i)),
/// p at tau. The ensemble's cross-entropy trains the gate and, through z_e, the peers; as a target
/// it is a constant: no gradient goes back through p_e of the divergence. What is used in the end
/// is one of the peers, or z_e.
class GatedEnsemble {
 public:
  /// `in` is the width of what the gate sees: for the peers' own logits K V. A Linear whose weights
  /// are PyTorch's defaults, drawn from `seed`.
  GatedEnsemble(std::int64_t in, std::int64_t peers, std::uint64_t seed, DType dtype = DType::f32,
                Device device = Device::cpu());

  /// The gate's parameters, "gate.weight" and "gate.bias", trained with the peers'.
  std::vector<NamedParameter> parameters();
  /// g (N,K). x (N,in) or undefined for the peers' logits side by side, which no gradient reaches
  /// on this way.
  Variable gates(const std::vector<Variable>& peers, const Variable& x = {});
  /// z_e (N,V).
  Variable logits(const std::vector<Variable>& peers, const Variable& x = {});
  /// The loss (1); labels (N) i32, rows labelled kIgnoreIndex are left out. Throws
  /// std::invalid_argument for another number of peers.
  Variable loss(const std::vector<Variable>& peers, const Tensor& labels,
                const GatedEnsembleOptions& options = {}, const Variable& x = {});

 private:
  std::int64_t peers_;
  Linear gate_;
};

}  // namespace limbeck

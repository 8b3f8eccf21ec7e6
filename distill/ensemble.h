// SPDX-License-Identifier: Apache-2.0
// What several models that learn together teach each of them.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// naive, linear, min_logit and general are those of Guo et al. (CVPR 2020), "Online knowledge
/// distillation via collaborative learning" (KDCL): the logits of the peer that knows the sample's
/// label best; their best convex combination for the sample; the least logit of each class once the
/// label's is 0 in all of them; a combination whose weights generalise, from general_weights.
enum class EnsembleKind { mean_logits, mean_probabilities, naive, linear, min_logit, general };

struct EnsembleOptions {
  EnsembleKind kind = EnsembleKind::mean_logits;
  double tau = 1;                    ///< mean_probabilities: where the mean is taken, as the loss's
  std::vector<double> weights = {};  ///< general: one for each peer
};

/// Target logits (N,V) of all peers' logits (N,V), whose kinds kernels/peer_target.h defines.
/// labels (N) i32, not read for the means and general. Computed on the peers' device, without a
/// host read; no gradient reaches a peer: give the values, not the variables.
Tensor ensemble_target(const std::vector<Tensor>& peers, const Tensor& labels,
                       const EnsembleOptions& options = {});

/// Weights, sum 1, of the combination of the peers' probabilities p_i with the least squared error
/// on samples that they were not trained on: with C_ij = mean_n sum_v (p_i - onehot)_nv
/// (p_j - onehot)_nv it is C^-1 1 / (1^T C^-1 1). A peer whose errors are another's, only larger,
/// may have a weight below 0. Peers that are the same share a weight. logits (N,V) of each peer,
/// labels (N) i32, kIgnoreIndex being left out; N >= 1. Read and solved on the host in f64: once an
/// epoch, say.
std::vector<double> general_weights(const std::vector<Tensor>& logits, const Tensor& labels);

}  // namespace limbeck

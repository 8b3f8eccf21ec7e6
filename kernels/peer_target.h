// SPDX-License-Identifier: Apache-2.0
// One teacher made of several models' logits.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/peers.h>

namespace limbeck {

/// Per row, with z_i the logits of peer i of K and y the label, the target is
///   weighted:            sum_i weights_i z_i
///   mean_probabilities:  tau log(1/K sum_i softmax(z_i / tau)): softmax(target / tau) is the mean
///   lowest_loss:         z_i of the peer with the least -log softmax(z_i)_y, the first of equals
///   best_mixture:        sum_i a_i z_i, a_i >= 0, sum 1, with the least -log softmax(target)_y
///   min_logit:           min_i (z_iv - z_iy) for every class v
/// the last three being KDCL's naive, linear and min-logit ones (Guo et al. 2020).
enum class PeerTarget { weighted, mean_probabilities, lowest_loss, best_mixture, min_logit };

struct PeerTargetOptions {
  PeerTarget kind = PeerTarget::weighted;
  std::vector<double> weights = {};  ///< weighted: one for each peer; empty: 1/K
  double tau = 1;                    ///< mean_probabilities
};

/// target (N,V) of 1 to kMaxPeers peers (N,V), one floating dtype; arithmetic in f32 (f64 for f64);
/// written; it is none of the peers. labels (N) i32 for the three kinds that need them; a row
/// labelled kIgnoreIndex then gets the mean of the logits. A label outside [0,V) throws
/// std::invalid_argument on the CPU and gives a row of NaN on a GPU. A logit of -inf is a class of
/// probability 0; best_mixture needs finite ones. best_mixture looks at a row some 25 times for two
/// peers and up to 200 K(K-1)/2 times for more, and its weights are within 1e-6 (K = 2) of the
/// best.
void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options);

namespace cpu {
void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options);
}  // namespace cpu
namespace cuda {
void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options);
}  // namespace cuda

/// Internal: a weight for each peer.
template <class F>
struct PeerWeights {
  F at[kMaxPeers];
};
template <class F>
PeerWeights<F> peer_weights(const std::vector<Tensor>& peers, const PeerTargetOptions& options) {
  PeerWeights<F> weights{};
  for (std::size_t i = 0; i < peers.size(); ++i)
    weights.at[i] = static_cast<F>(options.weights.empty() ? 1 / static_cast<double>(peers.size())
                                                           : options.weights[i]);
  return weights;
}

/// Internal: whether the kind reads labels.
inline bool reads_labels(PeerTarget kind) {
  return kind == PeerTarget::lowest_loss || kind == PeerTarget::best_mixture ||
         kind == PeerTarget::min_logit;
}

}  // namespace limbeck

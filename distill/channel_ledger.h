// SPDX-License-Identifier: Apache-2.0
// Which channels of the source have crossed over to the receiver.
#pragma once

#include <vector>

#include <limbeck/kernels/likelihood_loss.h>

namespace limbeck {

/// What a receiver's prediction of a channel t is worth, in nats: how much likelier it makes the
/// channel than its own best distribution does, once the scales have converged.
struct ChannelEntry {
  double gauss_nats = 0;    ///< 1/2 log(Var t / v): of linear-Gaussian models the information
  double laplace_nats = 0;  ///< log(mean |t - median| / b)
  double gauss_share = 0;   ///< pi: 1 for the tails of a Gaussian, 0 for a Laplace's
};

/// One entry per channel of codes t (R,C), R >= 1: the variance, median and deviation are theirs.
/// What a kind has no scale for is 0. Computed on the host in double.
std::vector<ChannelEntry> channel_ledger(const Tensor& t, const LikelihoodParameters& parameters);

}  // namespace limbeck

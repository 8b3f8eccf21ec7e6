// SPDX-License-Identifier: Apache-2.0
// Which channels of the source a layer of the receiver tells about, without any training: what a
// linear adapter with Gaussian-Laplace scales would end in.
#pragma once

#include <limbeck/distill/channel_ledger.h>

namespace limbeck {

/// Fits on the first half of the rows and measures on the second, which the fit has not seen.
struct ChannelProbe {
  std::int64_t fitted = 0, measured = 0;  ///< rows
  std::vector<ChannelEntry> channels;     ///< one per channel of the source
};

/// The receiver's rows (R,C) and the source's (R,D) at the same positions (distill/tap.h),
/// floating, any devices; R >= 4, C at most kMaxProbeChannels. The map is the ridge regression of
/// the source's channels, brought to mean 0 and variance 1, on the receiver's, brought to the same,
/// with `ridge` times the identity beside their correlations; scales are maximum likelihood on the
/// measured rows: v = mean r^2, b = mean |r|, and pi of the mixture by 150 steps of expectation and
/// maximisation on 4096 of them. Computed on the host in double, in index order. A channel that
/// does not vary has an entry of 0. Throws std::invalid_argument.
ChannelProbe probe_channels(const Tensor& receiver, const Tensor& source, double ridge = 1e-3);

inline constexpr std::int64_t kMaxProbeChannels = 4096;

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Features in units of their own spread, so that a loss's weight means the same for every source.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Of the source's channels, (C) each and any floating dtype, over its training data; both or
/// neither.
struct ChannelStatistics {
  Tensor mean = {}, deviation = {};
};

/// (x - mean) / sqrt(deviation^2 + 1e-5) for rows x (R,C); x itself without statistics.
class Standardise {
 public:
  /// `op` names whom errors are about.
  Standardise(const char* op, const ChannelStatistics& statistics, std::int64_t C, DType dtype,
              Device device);
  Tensor operator()(const Tensor& rows) const;
  bool defined() const { return mean_.defined(); }

 private:
  Tensor mean_, variance_;  // (1,C)
};

}  // namespace limbeck

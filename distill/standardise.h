// SPDX-License-Identifier: Apache-2.0
// Features in units of their own spread, so that a loss's weight means the same for every source.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// (x - mean) / sqrt(variance + kEps) for rows x (R,C): mean and variance (C) of any floating
/// dtype, those of the source's channels. x itself without them.
class Standardise {
 public:
  static constexpr double kEps = 1e-5;

  Standardise() = default;
  /// Both or neither are defined; `op` names whom errors are about. Tensors of this dtype and
  /// device are shared and read at every call, so their owner may move them
  /// (distill/tap_statistics.h).
  Standardise(const char* op, const Tensor& mean, const Tensor& variance, std::int64_t C,
              DType dtype, Device device);
  Tensor operator()(const Tensor& rows) const;
  bool defined() const { return mean_.defined(); }
  const Tensor& mean() const { return mean_; }          ///< (1,C)
  const Tensor& variance() const { return variance_; }  ///< (1,C)

 private:
  Tensor mean_, variance_;
};

}  // namespace limbeck

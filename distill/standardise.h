// SPDX-License-Identifier: Apache-2.0
// Features in units of their own spread, so that a loss's weight means the same for every source.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// (x - mean) / sqrt(deviation^2 + 1e-5) for rows x (R,C): mean and deviation (C) of any floating
/// dtype, those of the source's channels over its training data. x itself without them.
class Standardise {
 public:
  /// Both or neither are defined; `op` names whom errors are about.
  Standardise(const char* op, const Tensor& mean, const Tensor& deviation, std::int64_t C,
              DType dtype, Device device);
  Tensor operator()(const Tensor& rows) const;
  bool defined() const { return mean_.defined(); }

 private:
  Tensor mean_, variance_;  // (1,C)
};

}  // namespace limbeck

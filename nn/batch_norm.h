// SPDX-License-Identifier: Apache-2.0
// Batch norm over the last dimension: PyTorch's BatchNorm1d and 2d in one.
#pragma once

#include <limbeck/autograd/channel_norm.h>
#include <limbeck/nn/module.h>

namespace limbeck {

struct BatchNormOptions {
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of a batch in the running statistics, as in PyTorch
  bool affine = true;     ///< has "weight" and "bias"
};

/// y = (x - mean) / sqrt(variance + eps) weight + bias per channel of x (...,C), rows or images,
/// with the statistics that Context::statistics says. Parameters "weight" (C), 1 at first, and
/// "bias" (C), 0 at first, of which neither decays; buffers "running_mean", "running_var" (f32; f64
/// for f64), 0 and 1 at first, and "num_batches_tracked", the number of batches that moved them.
class BatchNorm : public Module {
 public:
  explicit BatchNorm(std::int64_t channels, const BatchNormOptions& options = {},
                     DType dtype = DType::f32, Device device = Device::cpu());
  Variable forward(const Variable& x, Context& context) override;
  /// relu(forward(x)), or relu(forward(x) + skip), as one op.
  Variable forward_relu(const Variable& x, Context& context, const Variable& skip = {});
  Shape output_shape(const Shape& input) const override;
  std::vector<NamedParameter> parameters() override;
  std::vector<NamedBuffer> buffers() override;
  std::string describe() const override;
  const BatchNormOptions& options() const { return options_; }

 private:
  Variable normalise(const Variable& x, Context& context, const AfterNorm& after);

  std::int64_t channels_;
  BatchNormOptions options_;
  Variable weight_, bias_;
  RunningStatistics running_;
  Tensor batches_;  // one i64 on the CPU
};

}  // namespace limbeck

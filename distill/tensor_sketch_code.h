// SPDX-License-Identifier: Apache-2.0
// Polynomial distillation by codes: the receiver predicts a sketch of the products of the source's
// channels.
#pragma once

#include <memory>

#include <limbeck/distill/adapter.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/tensor_sketch.h>

namespace limbeck {

struct TensorSketchCodeOptions {
  int degree = 2;       ///< 1 to kMaxDegree
  std::int64_t K = 0;   ///< numbers per position, at most kMaxTensorSketch; 0: 10 per channel of
                        ///< the source, at most 256
  double gamma = 0;     ///< of both sketches; 0: 1 over the channels of the one sketched
  double constant = 1;  ///< with 1, degrees below the highest are in the code too
  AdapterKind adapter = AdapterKind::linear;
  std::uint64_t seed = 0;  ///< of sketches and adapter; another one for each tap
  /// Of the source's channels, (C) each, both or neither, read at every call: what is sketched
  /// is (t - mean) / sqrt(variance + 1e-5).
  Tensor mean = {}, variance = {};
};

/// Code c = TS(t) of every position t of the source: a tensor sketch (Pham and Pagh, KDD 2013;
/// kernels/tensor_sketch.h), fixed by the seed, whose inner products estimate the polynomial kernel
/// (gamma t.t' + constant)^degree without bias. With s the receiver at that position, TS' a sketch
/// of it of its own and A the adapter,
///   loss = 1/(B P K) sum over B samples, P positions |A [s; TS'(s)] - c|^2
/// so that products of the source's channels may be had from products of the receiver's. A sketch
/// is a lift where K is more than the source's channels: the code of a small model for a big one.
class TensorSketchCode : public FeatureLoss {
 public:
  /// Shapes of one sample's taps, (C), (T,C) or (H,W,C); they meet on common_grid.
  TensorSketchCode(const Shape& receiver, const Shape& source,
                   const TensorSketchCodeOptions& options = {}, DType dtype = DType::f32,
                   Device device = Device::cpu());

  Shape code_shape() const override { return {grid_.positions(), K_}; }
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::vector<NamedParameter> parameters() override { return adapter_parameters(*adapter_); }
  std::string describe() const override;

 private:
  Shape receiver_, source_;
  TapGrid grid_;
  std::int64_t K_;
  int degree_;
  TensorSketchPlan source_plan_, receiver_plan_;
  std::unique_ptr<Module> adapter_;
  Standardise standardise_;
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Compressed-sensing distillation: the receiver predicts a few random measurements of the source.
#pragma once

#include <memory>
#include <optional>

#include <limbeck/distill/adapter.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/measurement_matrix.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/encode_and_compare.h>

namespace limbeck {

struct CompressedSensingOptions {
  std::optional<MeasurementKind> matrix = {};  ///< none: default_measurement(source channels)
  /// Numbers per position, at most kMaxCode. 0: the lesser of the receiver's channels and half the
  /// source's, rounded down to a multiple of 64 where it is more than 64; at least 1, at most
  /// kMaxCode.
  std::int64_t K = 0;
  AdapterKind adapter = AdapterKind::linear;
  std::uint64_t seed = 0;  ///< of matrix and adapter; another one for each tap
  /// Of the source's channels, (C) each, both or neither, read at every call: what is measured
  /// is (t - mean) / sqrt(variance + 1e-5).
  Tensor mean = {}, variance = {};
};

/// Code y = Phi t of every position t of the source (distill/measurement_matrix.h), Phi (K,C)
/// fixed. With s the receiver at that position and A the adapter,
///   loss = 1/(B P K) sum over B samples, P positions |A s - y|^2
///   d loss/ds = 2/(B P K) A^T (A s - y)
/// Projecting both sides is what Guo et al. do ("RdimKD", 2023); measuring one and predicting the
/// measurements is our definition. Two guarantees, of different strength:
/// lengths (Johnson and Lindenstrauss 1984): with residuals R (C,N) of the two sides before Phi and
/// G = R R^T, E |Phi R|_F^2 = |R|_F^2 with variance 2/K |G|_F^2 (gaussian) or 2/K (|G|_F^2 - sum
/// G_ii^2) (rademacher). So the loss is off by sqrt(2 / (K n)), n = |R|_F^4 / |G|_F^2 being the
/// effective number of directions: 5.6 % for K = 64, n = 10;
/// recovery (Candes and Tao 2006): k-sparse features can be had back from K of order k log(C/k)
/// measurements, which distill/recovery_report.h audits.
class CompressedSensing : public FeatureLoss {
 public:
  /// Shapes of one sample's taps, (C), (T,C) or (H,W,C); they meet on common_grid.
  CompressedSensing(const Shape& receiver, const Shape& source,
                    const CompressedSensingOptions& options = {}, DType dtype = DType::f32,
                    Device device = Device::cpu());

  Shape code_shape() const override;  ///< (positions, K)
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

  const MeasurementMatrix& matrix() const { return matrix_; }
  /// The codes in terms of the source's own features: rows(encode(t)) = measurement() t for every
  /// position t. measurement() (K,C) is Phi diag(1 / d), d = sqrt(variance + 1e-5), rows(codes) (N
  /// P, K) are codes + Phi (mean / d); both f64 on the CPU.
  Tensor measurement() const;
  Tensor rows(const Tensor& codes) const;

 private:
  Tensor inverse_deviation() const;

  Shape receiver_, source_;
  TapGrid grid_;
  DType dtype_;
  Device device_;
  MeasurementMatrix matrix_;
  std::unique_ptr<Module> adapter_;
  Standardise standardise_;
};

}  // namespace limbeck

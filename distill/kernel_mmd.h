// SPDX-License-Identifier: Apache-2.0
// Gaussian-Laplace distillation of populations: the receiver's features are to be distributed as
// the source's are, sample by sample or not.
#pragma once

#include <memory>

#include <limbeck/distill/adapter.h>
#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/standardise.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/dense_projection.h>
#include <limbeck/kernels/kernel_mmd.h>

namespace limbeck {

/// The squared maximum mean discrepancy of s (B,D) and t (M,D) (kernels/kernel_mmd.h), shape (1).
/// The gradient reaches s and is computed with the forward pass.
Variable kernel_mmd(const Variable& s, const Tensor& t, const KernelMmdOptions& options);

/// That of the Gaussian kernel alone by random features (Rahimi and Recht, 2007): with z(x) =
/// m^(-1/2) [cos 2 pi W x, sin 2 pi W x] and W (m,D) from gaussian_frequencies,
/// |mean z(s) - mean z(t)|^2, in O((B + M) D m). For one row each its variance is 4 times that of
/// the kernel, (1 - k^2)^2 / 2m. There is no such form for the Laplacian kernel: its error does not
/// vanish where the rows meet (Cheng et al., ICLR 2023), so that the gradient would be noise.
Variable fourier_mmd(const Variable& s, const Tensor& t, const Tensor& frequencies);

/// Medians of the distances between any two of the first `rows` rows of x (M,D), of an even number
/// of them the larger one in the middle; 1 where that is 0 or there is one row. Computed on the
/// host.
struct MedianDistances {
  double euclidean = 1, sum_of_sizes = 1;  ///< of |x - y|_2 and |x - y|_1
};
MedianDistances median_distances(const Tensor& x, std::int64_t rows = 256);

struct KernelMmdLossOptions {
  double sigma_rbf = 0, sigma_laplace = 0;  ///< 0: the code's median distance, batch by batch
  double rbf_weight = 0.5, laplace_weight = 0.5;
  /// m of fourier_mmd, which takes the Gaussian kernel's place and needs sigma_rbf; 0: exact.
  std::int64_t frequencies = 0;
  /// The rows of the population: every position of every sample, or one average per sample.
  bool every_position = false;
  AdapterKind adapter = AdapterKind::linear;  ///< of a receiver of another width
  std::uint64_t seed = 0;                     ///< of adapter and frequencies
  /// Of the source's channels, (C) each, both or neither, read at every call: the code is
  /// (t - mean) / sqrt(variance + 1e-5), or t.
  Tensor mean = {}, variance = {};
};

/// The code is the source's rows, standardised where statistics are given; the loss is the
/// discrepancy of the receiver's rows, through an adapter where widths differ, from the codes'.
/// Compares whole batches, O(rows^2): a few hundred rows. With medians a batch of codes on a GPU is
/// read on the host. Without an adapter there are no parameters.
class KernelMmd : public FeatureLoss {
 public:
  /// Of taps of one sample: (C), (T,C) or (H,W,C).
  KernelMmd(const Shape& receiver, const Shape& source, const KernelMmdLossOptions& options = {},
            DType dtype = DType::f32, Device device = Device::cpu());

  Shape code_shape() const override;  ///< (rows per sample, source's channels)
  Tensor encode(const Tensor& source) const override;
  Variable loss(const Variable& receiver, const Tensor& code, double mean_over) override;
  bool per_sample() const override { return false; }
  std::vector<NamedParameter> parameters() override;
  std::string describe() const override;

 private:
  Shape receiver_, source_;
  TapGrid grid_;
  KernelMmdLossOptions options_;
  Standardise standardise_;
  std::unique_ptr<Module> adapter_;  // or null
  Tensor frequencies_;               // or undefined
};

}  // namespace limbeck

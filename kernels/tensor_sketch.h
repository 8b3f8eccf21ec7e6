// SPDX-License-Identifier: Apache-2.0
// Tensor sketch: codes whose inner products estimate a polynomial kernel. Pham, Pagh, "Fast and
// scalable polynomial kernels via explicit feature maps" (KDD 2013), section 3.
#pragma once

#include <limits>
#include <vector>

#include <limbeck/kernels/count_sketch.h>

namespace limbeck {

inline constexpr int kMaxDegree = 3;
inline constexpr std::int64_t kMaxTensorSketch = 1024;  ///< K at most: K^2 multiplications per row

/// The kernel (gamma x.y + c)^degree. The first three have no usable default: the door says which
/// was not set.
struct TensorSketchOptions {
  int degree = 0;                                           ///< 1 to kMaxDegree
  double gamma = std::numeric_limits<double>::quiet_NaN();  ///< > 0
  double c = std::numeric_limits<double>::quiet_NaN();      ///< >= 0
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;
};

/// The hashes of one tensor sketch on one device. Make it once.
struct TensorSketchPlan {
  double gamma = 0, c = 0;
  /// Factor j is the CountSketchHash {seed, layer, j} of D + 1 columns, the last one the constant.
  std::vector<CountSketchPlan> factors;
};

/// 1 <= D < 2^30 - 1, 1 <= K <= kMaxTensorSketch.
TensorSketchPlan tensor_sketch_plan(std::int64_t D, std::int64_t K,
                                    const TensorSketchOptions& options,
                                    Device device = Device::cpu());

/// y = C_1 * C_2 * ... where C_j is factor j's count sketch of (sqrt(gamma) x, sqrt(c)) and * is
/// circular convolution: E[y(x) . y(x')] = (gamma x.x' + c)^degree. x (N,D), y (N,K), one floating
/// dtype, arithmetic in f32 (f64 for f64); written. No transform: (C_1 * C_2) * C_3 from the left,
/// with (a * b)_k one chain of fused multiply-adds of a_i b_(k-i mod K) over i = 0 .. K-1, and the
/// count sketches such chains over d. So a GPU gives the CPU's bits.
void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan);

/// dx_d = sqrt(gamma) sum_j s_j(d) dC_j,h_j(d) (the constant has no gradient); written. Back from
/// the last product z = m * C_j: dC_j = the correlation of dz with m, dm that of dz with C_j, with
/// (corr(g, m))_i = sum_k g_k m_(k-i mod K) as one chain over k. Reads x again and stores codes of
/// f32.
void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan);

namespace cpu {
void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan);
void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan);
}  // namespace cpu
namespace cuda {
void tensor_sketch_forward(Tensor& y, const Tensor& x, const TensorSketchPlan& plan);
void tensor_sketch_backward(Tensor& dx, const Tensor& dy, const Tensor& x,
                            const TensorSketchPlan& plan);
}  // namespace cuda

}  // namespace limbeck

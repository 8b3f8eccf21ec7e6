// SPDX-License-Identifier: Apache-2.0
// Projection by a stored, fixed matrix, and what often follows it in the same breath.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Of the product z = x W^T (N,K):
enum class ProjectionEpilogue {
  none,         ///< y = z, (N,K)
  standardise,  ///< y_k = (z_k - mean_k) inv_std_k, (N,K), with frozen statistics
  cos_sin,      ///< y = K^-1/2 [cos 2 pi z, sin 2 pi z], (N,2K): z is in turns
  square,       ///< y = z^2, (N,K)
};

struct DenseProjection {
  Tensor w;  ///< (K,D); gets no gradient
  ProjectionEpilogue epilogue = ProjectionEpilogue::none;
  Tensor mean = {};     ///< (K), for standardise: f32, or f64 when w is f64
  Tensor inv_std = {};  ///< likewise
};

/// y = epilogue(x W^T), x (N,D), y of its dtype; any floating dtype, z in f32 (f64 for f64) and
/// unrounded; written; y must not overlap x. When `z` is not null, the product is written there too
/// (square's backward needs it): (N,K), f32 or f64. K, D >= 1.
///
/// cos_sin is within 2 ulp of K^-1/2 for |z| < 2^22, where z is reduced to [-1/2, 1/2] exactly; a
/// larger finite z, which in f32 knows no more than half turns, counts as 0.
void dense_projection_forward(Tensor& y, Tensor* z, const Tensor& x, const DenseProjection& p);
/// dx = dz W with dz from dy and the epilogue; `saved` is the forward's y for cos_sin, its z for
/// square, undefined otherwise. dz is rounded to dy's dtype for the product; dx is written and must
/// not overlap dy.
void dense_projection_backward(Tensor& dx, const Tensor& dy, const Tensor& saved,
                               const DenseProjection& p);

/// Frequencies in turns, W (K,D), for random Fourier features (Rahimi and Recht, 2007): for x, x'
/// projected with cos_sin, y . y' is a mean over K of cos(2 pi w_k . (x - x')), whose expectation
/// is the kernel k. Drawn on the host, so the same on every device: row k comes from the stream
/// {seed, k, layer, RngPurpose::random_features}, element d from its words d & ~1 and d | 1.
///
/// k = exp(-|x - x'|_2^2 / (2 sigma^2)): w ~ N(0, 1/sigma^2) / 2 pi. Variance (1 - k^2)^2 / 2K.
Tensor gaussian_frequencies(std::uint64_t seed, std::uint32_t layer, const Shape& shape,
                            double sigma, DType dtype = DType::f32, Device device = Device::cpu());
/// k = exp(-|x - x'|_1 / sigma): each element of w ~ Cauchy(0, 1/sigma) / 2 pi, from word d.
/// Variance (1 - k^2) / 2K: near k = 1 the error is larger than 1 - k itself.
Tensor cauchy_frequencies(std::uint64_t seed, std::uint32_t layer, const Shape& shape, double sigma,
                          DType dtype = DType::f32, Device device = Device::cpu());

/// Internal, the kernels after and before the products: y from z, and dz from dy.
namespace cpu {
void apply_epilogue(Tensor& y, const Tensor& z, const DenseProjection& p);
void apply_epilogue_backward(Tensor& dz, const Tensor& dy, const Tensor& saved,
                             const DenseProjection& p);
}  // namespace cpu
namespace cuda {
void apply_epilogue(Tensor& y, const Tensor& z, const DenseProjection& p);
void apply_epilogue_backward(Tensor& dz, const Tensor& dy, const Tensor& saved,
                             const DenseProjection& p);
}  // namespace cuda

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Sparse vectors from few linear measurements, y = Phi x. On the CPU in doubles: for audits, not
// for training.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

struct OmpOptions {
  std::int64_t sparsity = 0;  ///< nonzero elements of x at most, 1 to K; no usable default
  double tolerance = 1e-6;    ///< stops a row where |y - Phi x| <= tolerance |y|
};

/// Orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993; Tropp and Gilbert, "Signal
/// recovery from random measurements via orthogonal matching pursuit", 2007): the column that
/// correlates most with the residual (the first of equals) joins the support, and x becomes the
/// least-squares solution on it, by a QR decomposition that grows by a column. Of Gaussian Phi
/// (K,D), about 2 s ln(D - s) rows recover s nonzeros (Fletcher and Rangan 2009).
/// phi (K,D), y (N,K), any floating dtype and device; returns x (N,D) f64 on the CPU. O(s K D) per
/// row. A row whose next column depends on those it has ends there.
Tensor omp(const Tensor& phi, const Tensor& y, const OmpOptions& options);

struct FistaOptions {
  /// lambda of a row is this share of max |Phi^T y|, from which on x = 0; no usable default.
  double relative_lambda = 0;
  std::int64_t iterations = 1000;
};

/// minimises F(x) = 1/2 |Phi x - y|^2 + lambda |x|_1 from x = 0 (Beck and Teboulle, "A fast
/// iterative shrinkage-thresholding algorithm", 2009). After k iterations F(x) - F(x*) <= 2 |x*|^2
/// / (eta (k+1)^2) with the step eta = 1 / squared_norm_bound(phi). phi, y and the result as omp's.
Tensor fista(const Tensor& phi, const Tensor& y, const FistaOptions& options);

/// An upper bound of |Phi|^2, the largest eigenvalue of G = Phi Phi^T, and at most K^(1/32) times
/// it: (trace G^32)^(1/32).
double squared_norm_bound(const Tensor& phi);

}  // namespace limbeck

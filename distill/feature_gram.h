// SPDX-License-Identifier: Apache-2.0
// How alike a layer finds n samples: their Gram matrix, the one thing that layers of different
// widths can be compared by.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// K (n,n) f64 on the CPU, K_ij = (x_i - m)·(x_j - m) with m the mean of the features x (n,...), of
/// a floating dtype on any device; n >= 2. Products and sums are doubles, columns left to right: in
/// MathMode::exact the same bits for any number of threads. Throws std::invalid_argument.
Tensor linear_gram(const Tensor& features);

/// K_ij = exp(-|x_i - x_j|^2 / (2 sigma^2)), sigma = scale times the median of the distances
/// between two samples (of an even number of distances the mean of the two in the middle). Where
/// sigma is 0, K_ij is 1 for equal samples and 0 for others. scale > 0; else as linear_gram.
Tensor rbf_gram(const Tensor& features, double scale = 1);

}  // namespace limbeck

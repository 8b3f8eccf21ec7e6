// SPDX-License-Identifier: Apache-2.0
// Matrices of inner products as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// Whether the gradient of a Gram matrix is its own transpose, which saves a product.
enum class GramGradient { any, symmetric };

/// The inner products (N,N) of the rows of x (N,D), x x^T. dx = (dG + dG^T) x, for a symmetric dG
/// 2 dG x. Saves x.
Variable gram(const Variable& x, GramGradient gradient = GramGradient::any);

}  // namespace limbeck

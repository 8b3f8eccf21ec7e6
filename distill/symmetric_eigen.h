// SPDX-License-Identifier: Apache-2.0
// Eigenvalues of a symmetric matrix.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// The eigenvalues of symmetric a (n,n) f64 on the CPU, ascending, each within some n 2^-52 |a|:
/// Householder reflections to a tridiagonal matrix (8/3 n^3 operations), whose eigenvalues all at
/// once are closed in on by halving intervals, counting with Sturm sequences how many lie below
/// (Golub and Van Loan, sections 8.3 and 8.4). Serial and without libm: the same bits on any CPU.
/// Throws std::invalid_argument for another shape and for elements that are not finite.
std::vector<double> symmetric_eigenvalues(const Tensor& a);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// How many directions a layer makes use of.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// exp(H(sigma / sum sigma)), H being the entropy and sigma the singular values of features (n,...)
/// less their mean over samples (Roy and Vetterli 2007): from 1, all on a line, to min(n-1,d), as
/// far in every direction; 0 where all samples are the same. A layer that collapses is one whose
/// effective rank falls. Any floating dtype and device; doubles. Throws std::invalid_argument.
double effective_rank(const Tensor& features);

/// The same of linear_gram(features) (distill/feature_gram.h), whose eigenvalues are sigma^2; those
/// below n 2^-50 of the largest, which rounding alone may make, count as 0.
double effective_rank_of_gram(const Tensor& gram);

}  // namespace limbeck

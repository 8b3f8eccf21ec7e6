// SPDX-License-Identifier: Apache-2.0
// The likelihood loss as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/likelihood_loss.h>

namespace limbeck {

/// LikelihoodParameters on the tape; undefined what the kind lacks.
struct LikelihoodScales {
  Variable rho_v, rho_b, kappa;
  LikelihoodParameters values() const;
};

/// The mean over rows and channels of -log p(t | mu) (kernels/likelihood_loss.h), shape (1), f32
/// (f64 for f64). mu, t (R,C); t may be of another dtype and gets no gradient. Saves mu and t; the
/// forward pass reads them for the loss, the backward pass once more for all gradients. Those of
/// the parameters go into their buffers by one chain over the rows, so in MathMode::exact on the
/// CPU micro-batches that follow each other give the bits of the whole.
Variable likelihood_loss(const Variable& mu, const Tensor& t, const LikelihoodScales& scales,
                         const LikelihoodOptions& options);

}  // namespace limbeck

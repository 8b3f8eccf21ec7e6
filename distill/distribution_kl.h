// SPDX-License-Identifier: Apache-2.0
// The divergence of two distributions as a differentiable op.
#pragma once

#include <limbeck/autograd/variable.h>
#include <limbeck/kernels/distribution_kl.h>

namespace limbeck {

/// Distribution on the tape.
struct DistributionVariables {
  Variable mean, log_scale;
};

/// The mean over rows and channels of KL(p || q) (kernels/distribution_kl.h), shape (1), f32 (f64
/// for f64). The gradient reaches what requires one of means and log scales, which a log_scale that
/// is one for all must not; it is computed with the forward pass.
Variable distribution_kl(const DistributionVariables& p, const DistributionVariables& q,
                         const DistributionKlOptions& options);

}  // namespace limbeck

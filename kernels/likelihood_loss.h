// SPDX-License-Identifier: Apache-2.0
// How likely the source's features are under a distribution whose mean the receiver predicts: the
// variational likelihood head of Ahn et al., "Variational information distillation for knowledge
// transfer" (CVPR 2019), with Gaussian, Laplace and mixed tails.
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

enum class Likelihood { gauss, laplace, mixture };
const char* likelihood_name(Likelihood kind);

inline constexpr double kScaleFloor = 1e-3;  ///< of v and b: a fit may be perfect

/// Of each channel (C), f32 (f64 for f64): v = softplus(rho_v) + kScaleFloor, b = softplus(rho_b) +
/// kScaleFloor, pi = sigmoid(kappa). Undefined: what a kind lacks; gauss has rho_v, laplace rho_b,
/// mixture all.
struct LikelihoodParameters {
  Tensor rho_v, rho_b, kappa;
};

struct LikelihoodOptions {
  Likelihood kind = Likelihood::mixture;
  double mean_over = 0;  ///< rows the loss is a mean over, as CrossEntropyOptions; 0: all R
};

/// A parameter's gradient (C), of the parameter's dtype, written or added.
struct LikelihoodParameterGrad {
  Tensor value;
  Out out = Out::write;
};

/// Undefined ones are left out; each may be had alone.
struct LikelihoodOutputs {
  Tensor row_loss;  ///< (R), f32 (f64 for f64); written
  Tensor dmu;       ///< like mu, and may be mu; written
  LikelihoodParameterGrad drho_v, drho_b, dkappa;
};

/// With r = t - mu, of rows mu, t (R,C), and per element
///   log N = -1/2 log(2 pi v) - r^2/2v      log L = -log 2b - |r|/b
///   log p = log N (gauss), log L (laplace), log(pi e^logN + (1 - pi) e^logL) (mixture)
/// row_loss_r = -1/C sum_c log p, and the loss is the sum of row_loss over mean_over. With w the
/// share of the Gaussian in p and k = upstream / (C mean_over), where upstream is a tensor of one
/// element, f32 (f64 for f64), read on the device, or undefined for 1:
///   dmu    = -k (w r/v + (1 - w) sign(r)/b)          sign(0) = 0
///   drho_v = -k sum_r w (r^2/v - 1) sigmoid(rho_v)/2v
///   drho_b = -k sum_r (1 - w) (|r|/b - 1) sigmoid(rho_b)/b
///   dkappa = -k sum_r (w - pi)
/// One pass over mu and t, any floating dtype; arithmetic in f32 (f64 for f64). t gets no gradient:
/// with one the loss would fall for ever. On the CPU a parameter's gradient is one chain over the
/// rows, so row blocks that follow each other add up to the bits of the whole.
void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options,
                                       const Tensor& upstream = {});

namespace cpu {
void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options, const Tensor& upstream);
}  // namespace cpu
namespace cuda {
void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options, const Tensor& upstream);
}  // namespace cuda

}  // namespace limbeck

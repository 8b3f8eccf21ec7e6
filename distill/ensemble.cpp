// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/ensemble.h>

#include <algorithm>
#include <cmath>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/peer_target.h>
#include <limbeck/kernels/softmax.h>

namespace limbeck {
namespace {

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

PeerTarget target_of(EnsembleKind kind) {
  switch (kind) {
    case EnsembleKind::mean_logits:
    case EnsembleKind::general:
      return PeerTarget::weighted;
    case EnsembleKind::mean_probabilities:
      return PeerTarget::mean_probabilities;
    case EnsembleKind::naive:
      return PeerTarget::lowest_loss;
    case EnsembleKind::linear:
      return PeerTarget::best_mixture;
    case EnsembleKind::min_logit:
      return PeerTarget::min_logit;
  }
  throw std::invalid_argument("ensemble_target: unknown kind");
}

/// softmax - onehot, 0 in rows that do not count.
Vector errors_of(const Tensor& logits, const std::vector<std::int32_t>& labels) {
  Tensor p = logits.to(Device::cpu()).to(DType::f64).clone();
  softmax_forward(p, p);
  Vector errors = p.to_vector<double>();
  const auto V = static_cast<std::size_t>(logits.dim(1));
  for (std::size_t n = 0; n < labels.size(); ++n) {
    const std::int32_t label = labels[n];
    if (label == kIgnoreIndex) {
      std::fill_n(errors.begin() + static_cast<std::ptrdiff_t>(n * V), V, 0.0);
      continue;
    }
    LIMBECK_CHECK(label >= 0 && label < logits.dim(1), "general_weights: label ", n, " is ", label,
                  "; expected 0 to ", V - 1, " or ", kIgnoreIndex);
    errors[n * V + static_cast<std::size_t>(label)] -= 1;
  }
  return errors;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// x of a x = (1, ..., 1), a symmetric and positive definite: Gauss without pivoting.
Vector solve_for_ones(Matrix a) {
  const std::size_t K = a.size();
  Vector x(K, 1);
  for (std::size_t k = 0; k < K; ++k)
    for (std::size_t i = k + 1; i < K; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j < K; ++j) a[i][j] -= factor * a[k][j];
      x[i] -= factor * x[k];
    }
  for (std::size_t k = K; k-- > 0;) {
    for (std::size_t j = k + 1; j < K; ++j) x[k] -= a[k][j] * x[j];
    x[k] /= a[k][k];
  }
  return x;
}

}  // namespace

Tensor ensemble_target(const std::vector<Tensor>& peers, const Tensor& labels,
                       const EnsembleOptions& options) {
  check_peers("ensemble_target", peers);
  const bool general = options.kind == EnsembleKind::general;
  LIMBECK_CHECK(!general || options.weights.size() == peers.size(),
                "ensemble_target: ", options.weights.size(), " weights of ", peers.size(),
                " peers; expected as many for the general kind");
  Tensor target = Tensor::empty_like(peers[0]);
  peer_target(target, peers, labels,
              {target_of(options.kind), general ? options.weights : Vector{}, options.tau});
  return target;
}

std::vector<double> general_weights(const std::vector<Tensor>& logits, const Tensor& labels) {
  check_peers("general_weights", logits);
  const Shape rows = {logits[0].dim(0)};
  LIMBECK_CHECK(labels.defined() && labels.dtype() == DType::i32 && labels.shape() == rows,
                "general_weights: labels is ",
                labels.defined() ? detail::concat(labels.dtype(), labels.shape()) : "undefined",
                "; expected i32", rows);
  const std::vector<std::int32_t> label = labels.to_vector<std::int32_t>();
  std::vector<Vector> errors;
  for (const Tensor& peer : logits) errors.push_back(errors_of(peer, label));
  Matrix c(errors.size(), Vector(errors.size()));
  double trace = 0;
  for (std::size_t i = 0; i < c.size(); ++i) {
    for (std::size_t j = 0; j < c.size(); ++j) c[i][j] = dot(errors[i], errors[j]);
    trace += c[i][i];
  }
  if (!(trace > 0 && std::isfinite(trace)))  // nobody errs, or nothing can be said
    return Vector(c.size(), 1 / static_cast<double>(c.size()));
  // Equal peers would make it singular; so they share, and nothing else changes its ninth digit.
  for (std::size_t i = 0; i < c.size(); ++i) c[i][i] += 1e-10 * trace;
  Vector weights = solve_for_ones(c);
  double sum = 0;
  for (const double w : weights) sum += w;
  for (double& w : weights) w /= sum;
  return weights;
}

}  // namespace limbeck

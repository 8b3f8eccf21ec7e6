// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/peer_target.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/labels.h>
#include <limbeck/kernels/peer_mixture.h>

namespace limbeck {

void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options) {
  const char* op = "peer_target";
  check_peers(op, peers);
  LIMBECK_CHECK(target.defined(), op, ": target is undefined");
  check_like(op, "target", target, "a peer", peers[0]);
  if (options.kind == PeerTarget::weighted)
    LIMBECK_CHECK(options.weights.empty() || options.weights.size() == peers.size(), op, ": ",
                  options.weights.size(), " weights of ", peers.size(),
                  " peers; expected as many, or none for the mean");
  if (options.kind == PeerTarget::mean_probabilities) check_tau(op, options.tau);
  if (reads_labels(options.kind))
    check_labels(op, labels, target.dim(0), target.dim(1), target.device());
  LIMBECK_DISPATCH(target.device(), peer_target(target, peers, labels, options));
}

namespace cpu {
namespace {

constexpr int kWays = 16;

/// One row of all peers.
template <class T>
struct Row {
  const Peers<T>& peers;
  std::int64_t at;  // of its first element
  std::int64_t V;

  ComputeType<T> z(int i, std::int64_t v) const {
    return static_cast<ComputeType<T>>(peers.at[i][at + v]);
  }
  template <class F>
  F mixture(const F* w, std::int64_t v) const {
    F sum = 0;
    for (int i = 0; i < peers.count; ++i) sum = math::fma(w[i], z(i, v), sum);
    return sum;
  }
};

/// The sum of term(v), 16 columns apart and then in their order.
template <class F, class Term>
[[gnu::always_inline]] inline F sum_of_row(std::int64_t V, const Term& term) {
  F sum[kWays] = {};
  std::int64_t v = 0;
  for (; v + kWays <= V; v += kWays)
    for (int j = 0; j < kWays; ++j) sum[j] += term(v + j);
  for (int j = 0; v < V; ++v, ++j) sum[j] += term(v);
  F total = 0;
  for (int j = 0; j < kWays; ++j) total += sum[j];
  return total;
}

template <class F, class Value>
[[gnu::always_inline]] inline F max_of_row(std::int64_t V, const Value& value) {
  F max = value(std::int64_t{0});
  for (std::int64_t v = 1; v < V; ++v) {
    const F x = value(v);
    max = x > max ? x : max;
  }
  return max;
}

/// log sum_v exp(z_v / tau).
template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline F log_sum(const Row<T>& row, int i, F inv_tau) {
  const F max = max_of_row<F>(row.V, [&](std::int64_t v) { return row.z(i, v); });
  const F sum = sum_of_row<F>(
      row.V, [&](std::int64_t v) { return math::exp((row.z(i, v) - max) * inv_tau); });
  return math::fma(max, inv_tau, math::log(sum));
}

template <class T, class F>
[[gnu::always_inline]] inline void weighted(T* out, const Row<T>& row, const F* w) {
  for (std::int64_t v = 0; v < row.V; ++v) out[v] = T(row.mixture(w, v));
}

template <class T, class F>
[[gnu::always_inline]] inline void mean_probabilities(T* out, const Row<T>& row, F tau) {
  const F inv_tau = 1 / tau, log_count = math::log(static_cast<F>(row.peers.count));
  F lse[kMaxPeers];
  for (int i = 0; i < row.peers.count; ++i) lse[i] = log_sum(row, i, inv_tau);
  for (std::int64_t v = 0; v < row.V; ++v) {
    F max = -std::numeric_limits<F>::infinity(), sum = 0;
    for (int i = 0; i < row.peers.count; ++i) {
      const F log_p = math::fma(row.z(i, v), inv_tau, -lse[i]);
      max = log_p > max ? log_p : max;
    }
    const F shift = max == -std::numeric_limits<F>::infinity() ? F(0) : max;
    for (int i = 0; i < row.peers.count; ++i)
      sum += math::exp(math::fma(row.z(i, v), inv_tau, -lse[i]) - shift);
    out[v] = T(tau * ((shift + math::log(sum)) - log_count));
  }
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void lowest_loss(T* out, const Row<T>& row, std::int64_t y) {
  int best = 0;
  F least = std::numeric_limits<F>::infinity();
  for (int i = 0; i < row.peers.count; ++i) {
    const F loss = log_sum(row, i, F(1)) - row.z(i, y);
    if (loss < least) best = i, least = loss;
  }
  for (std::int64_t v = 0; v < row.V; ++v) out[v] = row.peers.at[best][row.at + v];
}

/// How the cross-entropy of the mixture changes when peer i gets what peer j loses:
/// E_p[z_i - z_j] - (z_iy - z_jy), p = softmax(mixture).
template <class T, class F>
[[gnu::always_inline]] inline F slope(const Row<T>& row, const MixtureSearch<F>& search,
                                      std::int64_t y) {
  const F* w = search.trial();
  const int i = search.first(), j = search.second();
  const F max = max_of_row<F>(row.V, [&](std::int64_t v) { return row.mixture(w, v); });
  const F at_label = row.z(i, y) - row.z(j, y);
  return sum_of_row<F>(row.V, [&](std::int64_t v) {
    return math::exp(row.mixture(w, v) - max) * ((row.z(i, v) - row.z(j, v)) - at_label);
  });
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void best_mixture(T* out, const Row<T>& row, std::int64_t y) {
  MixtureSearch<F> search(row.peers.count);
  while (search.asks()) search.tell(slope(row, search, y));
  weighted(out, row, search.weights());
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void min_logit(T* out, const Row<T>& row, std::int64_t y) {
  for (std::int64_t v = 0; v < row.V; ++v) {
    F least = row.z(0, v) - row.z(0, y);
    for (int i = 1; i < row.peers.count; ++i) {
      const F x = row.z(i, v) - row.z(i, y);
      least = x < least ? x : least;
    }
    out[v] = T(least);
  }
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void target_row(T* out, const Row<T>& row, std::int32_t label,
                                              const PeerWeights<F>& weights, PeerTarget kind,
                                              F tau) {
  if (label == kIgnoreIndex) return weighted(out, row, weights.at);
  switch (kind) {
    case PeerTarget::weighted:
      return weighted(out, row, weights.at);
    case PeerTarget::mean_probabilities:
      return mean_probabilities(out, row, tau);
    case PeerTarget::lowest_loss:
      return lowest_loss(out, row, label);
    case PeerTarget::best_mixture:
      return best_mixture(out, row, label);
    case PeerTarget::min_logit:
      return min_logit(out, row, label);
  }
}

}  // namespace

void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options) {
  const std::int64_t N = target.dim(0), V = target.dim(1);
  const std::int32_t* label = reads_labels(options.kind) ? labels.data<std::int32_t>() : nullptr;
  visit_floating(target.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Peers<T> z = peers_of<T>(peers);
    const PeerWeights<F> weights = peer_weights<F>(peers, options);
    T* out = target.data<T>();
    parallel_ranges(N, std::max<std::int64_t>(1, 8192 / V),
                    [&](std::int64_t begin, std::int64_t end) {
                      simd([&](auto) {
                        for (std::int64_t n = begin; n < end; ++n)
                          target_row(out + n * V, Row<T>{z, n * V, V}, label ? label[n] : 0,
                                     weights, options.kind, static_cast<F>(options.tau));
                      });
                    });
  });
}

}  // namespace cpu
}  // namespace limbeck

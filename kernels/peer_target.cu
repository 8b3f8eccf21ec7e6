// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/peer_target.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/peer_mixture.h>
#include <limbeck/kernels/gpu_types.cuh>
#include <limbeck/kernels/warp.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 128;
constexpr float kInf = __builtin_huge_valf();

/// One row of all peers, whose threads are the block's.
template <class T>
struct Row {
  const Peers<T>& peers;
  std::int64_t at;
  int V;

  LIMBECK_DEVICE float z(int i, int v) const { return static_cast<float>(peers.at[i][at + v]); }
  LIMBECK_DEVICE float mixture(const float* w, int v) const {
    float sum = 0;
    for (int i = 0; i < peers.count; ++i) sum = math::fma(w[i], z(i, v), sum);
    return sum;
  }
  template <class Fn>
  LIMBECK_DEVICE void each(Fn fn) const {
    for (int v = static_cast<int>(threadIdx.x); v < V; v += kThreads) fn(v);
  }
  template <class Term>
  LIMBECK_DEVICE float sum(Term term) const {
    float total[1] = {0};
    each([&](int v) { total[0] += term(v); });
    gpu::block_reduce<kThreads>(total, gpu::Sum{});
    return total[0];
  }
  template <class Value>
  LIMBECK_DEVICE float max(Value value) const {
    float most[1] = {-kInf};
    each([&](int v) { most[0] = gpu::Max{}(most[0], value(v)); });
    gpu::block_reduce<kThreads>(most, gpu::Max{});
    return most[0];
  }
};

/// log sum_v exp(z_v / tau).
template <class T>
LIMBECK_DEVICE float log_sum(const Row<T>& row, int i, float inv_tau) {
  const float max = row.max([&](int v) { return row.z(i, v); });
  const float sum = row.sum([&](int v) { return math::exp((row.z(i, v) - max) * inv_tau); });
  return math::fma(max, inv_tau, math::log(sum));
}

template <class T>
LIMBECK_DEVICE void weighted(T* out, const Row<T>& row, const float* w) {
  row.each([&](int v) { out[v] = T(row.mixture(w, v)); });
}

template <class T>
LIMBECK_DEVICE void mean_probabilities(T* out, const Row<T>& row, float tau) {
  const float inv_tau = 1 / tau, log_count = math::log(static_cast<float>(row.peers.count));
  float lse[kMaxPeers];
  for (int i = 0; i < row.peers.count; ++i) lse[i] = log_sum(row, i, inv_tau);
  row.each([&](int v) {
    float max = -kInf, sum = 0;
    for (int i = 0; i < row.peers.count; ++i) {
      const float log_p = math::fma(row.z(i, v), inv_tau, -lse[i]);
      max = log_p > max ? log_p : max;
    }
    const float shift = max == -kInf ? 0.0f : max;
    for (int i = 0; i < row.peers.count; ++i)
      sum += math::exp(math::fma(row.z(i, v), inv_tau, -lse[i]) - shift);
    out[v] = T(tau * ((shift + math::log(sum)) - log_count));
  });
}

template <class T>
LIMBECK_DEVICE void lowest_loss(T* out, const Row<T>& row, int y) {
  int best = 0;
  float least = kInf;
  for (int i = 0; i < row.peers.count; ++i) {
    const float loss = log_sum(row, i, 1) - row.z(i, y);
    if (loss < least) best = i, least = loss;
  }
  row.each([&](int v) { out[v] = row.peers.at[best][row.at + v]; });
}

template <class T>
LIMBECK_DEVICE void best_mixture(T* out, const Row<T>& row, int y) {
  MixtureSearch<float> search(row.peers.count);
  while (search.asks()) {  // the same answers in all threads
    const float* w = search.trial();
    const int i = search.first(), j = search.second();
    const float max = row.max([&](int v) { return row.mixture(w, v); });
    const float at_label = row.z(i, y) - row.z(j, y);
    search.tell(row.sum([&](int v) {
      return math::exp(row.mixture(w, v) - max) * ((row.z(i, v) - row.z(j, v)) - at_label);
    }));
  }
  weighted(out, row, search.weights());
}

template <class T>
LIMBECK_DEVICE void min_logit(T* out, const Row<T>& row, int y) {
  row.each([&](int v) {
    float least = row.z(0, v) - row.z(0, y);
    for (int i = 1; i < row.peers.count; ++i) {
      const float x = row.z(i, v) - row.z(i, y);
      least = x < least ? x : least;
    }
    out[v] = T(least);
  });
}

/// One block per row; reads K*N*V elements (each of them twice for mean_probabilities, as often as
/// the search asks for best_mixture) and writes N*V.
template <class T>
LIMBECK_KERNEL peer_target_kernel(T* target, Peers<T> peers, const std::int32_t* labels, int V,
                                  PeerWeights<float> weights, PeerTarget kind, float tau) {
  const std::int64_t at = std::int64_t{blockIdx.x} * V;
  const Row<T> row{peers, at, V};
  T* out = target + at;
  const int label = labels ? labels[blockIdx.x] : 0;
  if (kind == PeerTarget::weighted || label == kIgnoreIndex)
    weighted(out, row, weights.at);
  else if (label < 0 || label >= V)
    row.each([&](int v) { out[v] = T(__builtin_nanf("")); });
  else if (kind == PeerTarget::mean_probabilities)
    mean_probabilities(out, row, tau);
  else if (kind == PeerTarget::lowest_loss)
    lowest_loss(out, row, label);
  else if (kind == PeerTarget::best_mixture)
    best_mixture(out, row, label);
  else
    min_logit(out, row, label);
}

}  // namespace

void peer_target(Tensor& target, const std::vector<Tensor>& peers, const Tensor& labels,
                 const PeerTargetOptions& options) {
  if (target.numel() == 0) return;
  const std::int32_t* label = reads_labels(options.kind) ? labels.data<std::int32_t>() : nullptr;
  gpu::visit_gpu_floating("peer_target", target.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"peer_target", static_cast<unsigned>(target.dim(0)), kThreads},
                peer_target_kernel<T>, target.data<T>(), peers_of<T>(peers), label,
                static_cast<int>(target.dim(1)), peer_weights<float>(peers, options), options.kind,
                static_cast<float>(options.tau));
  });
}

}  // namespace limbeck::cuda

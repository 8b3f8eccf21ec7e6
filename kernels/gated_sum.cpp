// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gated_sum.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/each_row.h>

namespace limbeck {
namespace {

void check(const char* op, const Tensor& gates, const std::vector<Tensor>& peers) {
  check_peers(op, peers);
  const Shape expected = {peers[0].dim(0), static_cast<std::int64_t>(peers.size())};
  LIMBECK_CHECK(gates.defined(), op, ": gates is undefined; expected ", expected);
  LIMBECK_CHECK(gates.shape() == expected && gates.dtype() == peers[0].dtype() &&
                    gates.device() == peers[0].device(),
                op, ": gates is ", gates.dtype(), gates.shape(), " on ", gates.device(),
                "; expected ", peers[0].dtype(), expected, " on ", peers[0].device());
}

}  // namespace

void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers) {
  check("gated_sum_forward", gates, peers);
  LIMBECK_CHECK(y.defined(), "gated_sum_forward: y is undefined");
  check_like("gated_sum_forward", "y", y, "a peer", peers[0]);
  LIMBECK_DISPATCH(y.device(), gated_sum_forward(y, gates, peers));
}

void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers) {
  const char* op = "gated_sum_backward";
  check(op, gates, peers);
  LIMBECK_CHECK(dy.defined(), op, ": dy is undefined");
  check_like(op, "dy", dy, "a peer", peers[0]);
  LIMBECK_CHECK(dpeers.size() == peers.size(), op, ": ", dpeers.size(), " gradients of ",
                peers.size(), " peers; expected as many");
  for (const Tensor& dpeer : dpeers)
    if (dpeer.defined()) check_like(op, "a gradient", dpeer, "a peer", peers[0]);
  if (dgates.defined()) check_like(op, "dgates", dgates, "gates", gates);
  LIMBECK_DISPATCH(dy.device(), gated_sum_backward(dgates, dpeers, dy, gates, peers));
}

namespace cpu {
namespace {

constexpr int kWays = 16;
constexpr std::int64_t kBlock = 256;  // columns summed at once

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void sum_row(T* y, const T* gates, const Peers<T>& peers,
                                           std::int64_t at, std::int64_t V) {
  for (std::int64_t begin = 0; begin < V; begin += kBlock) {
    const std::int64_t count = V - begin < kBlock ? V - begin : kBlock;
    F sum[kBlock] = {};
    for (int i = 0; i < peers.count; ++i) {
      const F gate = static_cast<F>(gates[i]);
      const T* x = peers.at[i] + at + begin;
#pragma omp simd
      for (std::int64_t v = 0; v < count; ++v)
        sum[v] = math::fma(gate, static_cast<F>(x[v]), sum[v]);
    }
#pragma omp simd
    for (std::int64_t v = 0; v < count; ++v) y[at + begin + v] = T(sum[v]);
  }
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline F dot_row(const T* a, const T* b, std::int64_t V) {
  F sum[kWays] = {};
  std::int64_t v = 0;
  for (; v + kWays <= V; v += kWays) {
#pragma omp simd
    for (int j = 0; j < kWays; ++j)
      sum[j] = math::fma(static_cast<F>(a[v + j]), static_cast<F>(b[v + j]), sum[j]);
  }
  for (int j = 0; v < V; ++v, ++j)
    sum[j] = math::fma(static_cast<F>(a[v]), static_cast<F>(b[v]), sum[j]);
  F total = 0;
  for (int j = 0; j < kWays; ++j) total += sum[j];
  return total;
}

template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void scale_row(T* y, F gate, const T* x, std::int64_t V) {
#pragma omp simd
  for (std::int64_t v = 0; v < V; ++v) y[v] = T(gate * static_cast<F>(x[v]));
}

}  // namespace

void gated_sum_forward(Tensor& y, const Tensor& gates, const std::vector<Tensor>& peers) {
  const std::int64_t N = y.dim(0), V = y.dim(1);
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Peers<T> x = peers_of<T>(peers);
    const T* gate = gates.data<T>();
    T* out = y.data<T>();
    for_each_row(N, V, [&](std::int64_t n) { sum_row(out, gate + n * x.count, x, n * V, V); });
  });
}

void gated_sum_backward(Tensor& dgates, std::vector<Tensor>& dpeers, const Tensor& dy,
                        const Tensor& gates, const std::vector<Tensor>& peers) {
  const std::int64_t N = dy.dim(0), V = dy.dim(1);
  visit_floating(dy.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Peers<T> x = peers_of<T>(peers);
    const T *gate = gates.data<T>(), *in = dy.data<T>();
    T* dgate = dgates.defined() ? dgates.data<T>() : nullptr;
    T* dx[kMaxPeers] = {};
    for (int i = 0; i < x.count; ++i)
      if (Tensor& t = dpeers[static_cast<std::size_t>(i)]; t.defined()) dx[i] = t.data<T>();
    for_each_row(N, V, [&](std::int64_t n) {
      for (int i = 0; i < x.count; ++i) {
        const std::int64_t cell = n * x.count + i;
        if (dgate) dgate[cell] = T(dot_row(in + n * V, x.at[i] + n * V, V));
        if (dx[i]) scale_row(dx[i] + n * V, static_cast<F>(gate[cell]), in + n * V, V);
      }
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

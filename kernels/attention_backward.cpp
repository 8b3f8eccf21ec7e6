// SPDX-License-Identifier: Apache-2.0
// CPU twin of attention's backward.
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/attention_problem.h>
#include <limbeck/kernels/attention_tile.h>

namespace limbeck::cpu {
namespace {

constexpr int kMostLanes = 32;

// Key head g of sequence n and the query heads that read it. With P the probabilities, recomputed:
//   dv = P^T dy,  dP = dy v^T,  dS = P (dP - delta), delta_i = dy_i . y_i,
//   dq = scale dS k,  dk = scale dS^T q;
// with dropout m, dv = (m P)^T dy and dP = m (dy v^T).
template <class T>
struct BackwardTask {
  using F = ComputeType<T>;
  AttentionSizes s;
  HeadRows<T> dq, dk, dv;
  HeadRows<const T> dy, y;
  const F* lse;
  HeadRows<const T> q, k, v;
  std::int64_t n, g;

  std::int64_t scratch() const {
    const std::int64_t P = (s.D + kMostLanes - 1) / kMostLanes * kMostLanes;
    return (4 * s.S + 6 * kMostLanes) * P + 3 * kKeyBlock * kMostLanes;
  }

  // What is kept of the keys, all with padded rows, and of a block of queries: rows as they are
  // (the queries scaled) and in lanes.
  struct Memory {
    F *k, *v, *dk, *dv;
    F *query_rows, *dy_rows, *queries, *dy, *dq, *work;
    F *p, *ds, *kept;  // (kKeyBlock, lanes)
    Memory(F* at, std::int64_t S, std::int64_t P, std::int64_t C)
        : k(at),
          v(k + S * P),
          dk(v + S * P),
          dv(dk + S * P),
          query_rows(dv + S * P),
          dy_rows(query_rows + C * P),
          queries(dy_rows + C * P),
          dy(queries + C * P),
          dq(dy + C * P),
          work(dq + C * P),
          p(work + C * P),
          ds(p + kKeyBlock * C),
          kept(ds + kKeyBlock * C) {}
  };

  template <int kWidth>
  [[gnu::always_inline]] void run(F* scratch) const {
    using Tile = AttentionTile<F, kWidth>;
    constexpr int C = Tile::kLanes;
    const std::int64_t P = Tile::padded(s.D), keys = s.length(n), group = s.H / s.G;
    const Memory m(scratch, s.S, P, C);
    Tile::stage(m.k, k.at(n, g, 0), k.row, keys, s.D, s.S);
    Tile::stage(m.v, v.at(n, g, 0), v.row, keys, s.D, s.S);
    std::fill(m.dk, m.dk + s.S * P, F(0));
    std::fill(m.dv, m.dv + s.S * P, F(0));
    std::fill(m.dq, m.dq + C * P, F(0));
    for (std::int64_t h = g * group; h < (g + 1) * group; ++h)
      for (std::int64_t i = 0; i < s.T; i += C) run_queries<kWidth>(m, h, i);
    Tile::unstage(dk.at(n, g, 0), dk.row, m.dk, s.S, s.D);
    Tile::unstage(dv.at(n, g, 0), dv.row, m.dv, s.S, s.D);
  }

  // Queries i.. of head h: lanes past the last have q and dy of zero, which adds nothing.
  template <int kWidth>
  [[gnu::always_inline]] void run_queries(const Memory& m, std::int64_t h, std::int64_t i) const {
    using Tile = AttentionTile<F, kWidth>;
    constexpr int C = Tile::kLanes;
    const std::int64_t P = Tile::padded(s.D), count = std::min<std::int64_t>(C, s.T - i);
    F log_sum[C] = {}, delta[C] = {};
    for (std::int64_t l = 0; l < count; ++l) log_sum[l] = lse[(n * s.H + h) * s.T + i + l];
    Tile::stage(m.query_rows, q.at(n, h, i), q.row, count, s.D, C, static_cast<F>(s.scale));
    Tile::to_lanes(m.queries, m.query_rows, P);
    Tile::stage(m.dy_rows, dy.at(n, h, i), dy.row, count, s.D, C);
    Tile::to_lanes(m.dy, m.dy_rows, P);
    Tile::stage(m.work, y.at(n, h, i), y.row, count, s.D, C);
    Tile::to_lanes(m.dq, m.work, P);  // y, until dq comes
    for (std::int64_t d = 0; d < s.D; ++d) {
#pragma omp simd
      for (int l = 0; l < C; ++l) delta[l] = math::fma(m.dy[d * C + l], m.dq[d * C + l], delta[l]);
    }
    std::fill(m.dq, m.dq + C * P, F(0));
    const std::int64_t visible = s.visible(n, i + count - 1);
    for (std::int64_t j = 0; j < visible; j += kKeyBlock)
      run_keys<kWidth>(m, {n, h, i, count}, j, std::min(kKeyBlock, visible - j), log_sum, delta);
    Tile::to_rows(m.work, m.dq, P);
    Tile::unstage(dq.at(n, h, i), dq.row, m.work, count, s.D, static_cast<F>(s.scale));
  }

  [[gnu::always_inline]] static void multiply_by(F* x, const F* factor, std::int64_t count) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) x[i] *= factor[i];
  }

  // Those queries with keys [j, j + keys).
  template <int kWidth>
  [[gnu::always_inline]] void run_keys(const Memory& m, const QueryBlock& block, std::int64_t j,
                                       std::int64_t keys, const F* log_sum, const F* delta) const {
    using Tile = AttentionTile<F, kWidth>;
    constexpr int C = Tile::kLanes;
    const std::int64_t P = Tile::padded(s.D);
    Tile::product(m.p, C, keys, {m.k + j * P, P, 1}, m.queries, C, s.D, false);
    Tile::product(m.ds, C, keys, {m.v + j * P, P, 1}, m.dy, C, s.D, false);
    if (s.drops()) {
      std::fill(m.kept, m.kept + keys * C, F(0));
      for_each_kept<F>(s, block, j, keys, [=](std::int64_t key, std::int64_t l, F kept) {
        m.kept[key * C + l] = kept;
      });
      multiply_by(m.ds, m.kept, keys * C);
    }
    for (std::int64_t key = 0; key < keys; ++key) {
      // Lanes below it do not see this key.
      const std::int64_t hidden = s.causal ? j + key - (block.first + s.S - s.T) : 0;
      const int first = static_cast<int>(std::clamp<std::int64_t>(hidden, 0, C));
      F* p = m.p + key * C;
      F* ds = m.ds + key * C;
#pragma omp simd
      for (int l = 0; l < C; ++l) {
        const F e = math::exp(p[l] - log_sum[l]);
        p[l] = l < first ? F(0) : e;
        ds[l] = p[l] * (ds[l] - delta[l]);
      }
    }
    if (s.drops()) multiply_by(m.p, m.kept, keys * C);
    Tile::product(m.dq, C, s.D, {m.k + j * P, 1, P}, m.ds, C, keys, true);
    for (std::int64_t d = 0; d < P; d += C) {
      Tile::product(m.dv + j * P + d, P, keys, {m.p, C, 1}, m.dy_rows + d, P, C, true);
      Tile::product(m.dk + j * P + d, P, keys, {m.ds, C, 1}, m.query_rows + d, P, C, true);
    }
  }
};

}  // namespace

void attention_backward(Heads& dq, Heads& dk, Heads& dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths, const AttentionOptions& options) {
  const AttentionSizes s = AttentionSizes(q, k, lengths, options).resolved();
  visit_floating(q.tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const auto dq_at = head_rows_to_write<T>(dq), dk_at = head_rows_to_write<T>(dk),
               dv_at = head_rows_to_write<T>(dv);
    parallel_for(s.N * s.G, [&](std::int64_t t) {
      const BackwardTask<T> task{s,
                                 dq_at,
                                 dk_at,
                                 dv_at,
                                 head_rows<T>(dy),
                                 head_rows<T>(y),
                                 lse.data<F>(),
                                 head_rows<T>(q),
                                 head_rows<T>(k),
                                 head_rows<T>(v),
                                 t / s.G,
                                 t % s.G};
      Tensor scratch = Tensor::empty({task.scratch()}, dtype_of<F>());
      F* memory = scratch.data<F>();
      simd([&](auto lanes) { task.template run<lanes.value>(memory); });
    });
  });
}

}  // namespace limbeck::cpu

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/attention.h>

#include <limits>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/attention_problem.h>
#include <limbeck/kernels/attention_tile.h>

namespace limbeck {
namespace {

// Shape of what a Heads names.
Shape shape_of(const Heads& x) { return {x.tensor.dim(0), x.rows(), x.count, x.width()}; }

void check_heads(const char* op, const char* what, const Heads& x, const Tensor& q,
                 const Shape& expected) {
  LIMBECK_CHECK(x.tensor.dtype() == q.dtype() && x.tensor.device() == q.device(), op, ": ", what,
                " is ", x.tensor.dtype(), " on ", x.tensor.device(), ", q ", q.dtype(), " on ",
                q.device(), "; expected equal ones");
  LIMBECK_CHECK(shape_of(x) == expected, op, ": ", what, " has shape ", shape_of(x), "; expected ",
                expected);
}

void check_dropout(const char* op, const AttentionDropout& dropout, const Heads& q,
                   std::int64_t keys) {
  LIMBECK_CHECK(dropout.p >= 0 && dropout.p < 1 && dropout.first_sequence >= 0, op, ": dropout is ",
                dropout.p, " from sequence ", dropout.first_sequence,
                " on; expected 0 <= p < 1 and a sequence >= 0");
  const double rows = static_cast<double>(dropout.first_sequence + q.tensor.dim(0)) *
                      static_cast<double>(q.count) * static_cast<double>(q.rows());
  LIMBECK_CHECK(dropout.p == 0 || rows * static_cast<double>((keys + 3) / 4) < 0x1p32, op,
                ": dropout of ", rows, " queries of ", keys,
                " keys; expected fewer than 2^34 probabilities");
}

void check_inputs(const char* op, const Heads& q, const Heads& k, const Heads& v,
                  const Tensor& lengths, const AttentionOptions& options) {
  const Tensor& t = q.tensor;
  LIMBECK_CHECK(is_floating(t.dtype()), op, ": q is ", t.dtype(), "; expected a floating dtype");
  LIMBECK_CHECK(q.width() >= 1 && k.count >= 1 && q.count % k.count == 0, op, ": q has shape ",
                shape_of(q), ", k ", shape_of(k),
                "; expected (N,T,H,D) and (N,S,G,D), H a multiple of G");
  check_heads(op, "k", k, t, {t.dim(0), k.rows(), k.count, q.width()});
  check_heads(op, "v", v, t, shape_of(k));
  LIMBECK_CHECK(std::isfinite(options.scale) && options.scale >= 0, op, ": scale is ",
                options.scale, "; expected > 0, or 0 for 1/sqrt(D)");
  check_dropout(op, options.dropout, q, k.rows());
  if (!lengths.defined()) return;
  LIMBECK_CHECK(lengths.dtype() == DType::i32 && lengths.device() == t.device() &&
                    lengths.shape() == Shape{t.dim(0)},
                op, ": lengths is ", lengths.dtype(), lengths.shape(), " on ", lengths.device(),
                "; expected i32", Shape{t.dim(0)}, " on ", t.device());
}

void check_lse(const char* op, const Tensor& lse, const Heads& q) {
  const Tensor& t = q.tensor;
  const DType dtype = t.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Shape expected{t.dim(0), q.count, t.dim(1)};
  LIMBECK_CHECK(lse.defined() && lse.dtype() == dtype && lse.shape() == expected &&
                    lse.device() == t.device(),
                op, ": lse is ", lse.dtype(), lse.shape(), " on ", lse.device(), "; expected ",
                dtype, expected, " on ", t.device());
}

}  // namespace

Heads::Heads(const Tensor& all) : tensor(all) {
  LIMBECK_CHECK(all.defined() && all.rank() == 4, "Heads: tensor has shape ",
                all.defined() ? all.shape() : Shape{}, "; expected (N,T,H,D)");
  count = all.dim(2);
}

Heads::Heads(const Tensor& packed, std::int64_t first_head, std::int64_t heads) : Heads(packed) {
  LIMBECK_CHECK(first_head >= 0 && heads >= 0 && first_head + heads <= count, "Heads: ", heads,
                " from ", first_head, " on of ", count, "; expected no more than there are");
  first = first_head;
  count = heads;
}

void attention_forward(Heads y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths, const AttentionOptions& options) {
  check_inputs("attention_forward", q, k, v, lengths, options);
  check_heads("attention_forward", "y", y, q.tensor, shape_of(q));
  check_lse("attention_forward", lse, q);
  LIMBECK_DISPATCH(q.tensor.device(), attention_forward(y, lse, q, k, v, lengths, options));
}

void attention_backward(Heads dq, Heads dk, Heads dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths, const AttentionOptions& options) {
  check_inputs("attention_backward", q, k, v, lengths, options);
  for (const auto& [what, heads] : {std::pair{"dy", &dy}, {"y", &y}, {"dq", &dq}})
    check_heads("attention_backward", what, *heads, q.tensor, shape_of(q));
  for (const auto& [what, heads] : {std::pair{"dk", &dk}, {"dv", &dv}})
    check_heads("attention_backward", what, *heads, q.tensor, shape_of(k));
  check_lse("attention_backward", lse, q);
  LIMBECK_DISPATCH(q.tensor.device(),
                   attention_backward(dq, dk, dv, dy, y, lse, q, k, v, lengths, options));
}

namespace cpu {
namespace {

constexpr std::int64_t kQueryPiece = 256;  // queries of a task, which share its copy of the keys
constexpr int kMostLanes = 32;

// One block of queries of one head against all of its keys, a block at a time. The maximum so far
// is what exponents are taken from; when it rises, what was summed is scaled down.
template <class F, int kWidth>
struct OnlineSoftmax {
  using Tile = AttentionTile<F, kWidth>;
  static constexpr int kLanes = Tile::kLanes;
  F max[kLanes], sum[kLanes];

  OnlineSoftmax() {
    for (int l = 0; l < kLanes; ++l) {
      max[l] = -std::numeric_limits<F>::infinity();
      sum[l] = 0;
    }
  }

  // scores (keys,kLanes) become exponentials, y (D,kLanes) is scaled to fit.
  [[gnu::always_inline]] void add(F* scores, std::int64_t keys, F* y, std::int64_t D) {
    F top[kLanes], shift[kLanes], factor[kLanes], total[kLanes];
    for (int l = 0; l < kLanes; ++l) top[l] = max[l];
    for (std::int64_t j = 0; j < keys; ++j) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l)
        top[l] = scores[j * kLanes + l] > top[l] ? scores[j * kLanes + l] : top[l];
    }
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      shift[l] = top[l] >= std::numeric_limits<F>::lowest() ? top[l] : F(0);  // all masked: 0
      factor[l] = math::exp(max[l] - shift[l]);
      max[l] = top[l];
      total[l] = 0;
    }
    for (std::int64_t j = 0; j < keys; ++j) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) {
        const F e = math::exp(scores[j * kLanes + l] - shift[l]);
        scores[j * kLanes + l] = e;
        total[l] += e;
      }
    }
    for (int l = 0; l < kLanes; ++l) sum[l] = math::fma(sum[l], factor[l], total[l]);
    for (std::int64_t d = 0; d < D; ++d) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) y[d * kLanes + l] *= factor[l];
    }
  }

  // y becomes the mean of the values; lse (kLanes).
  [[gnu::always_inline]] void finish(F* y, std::int64_t D, F* lse) const {
    F factor[kLanes];
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      factor[l] = sum[l] == 0 ? F(0) : 1 / sum[l];
      lse[l] = sum[l] == 0 ? max[l] : max[l] + math::log(sum[l]);
    }
    for (std::int64_t d = 0; d < D; ++d) {
#pragma omp simd
      for (int l = 0; l < kLanes; ++l) y[d * kLanes + l] *= factor[l];
    }
  }
};

// Queries [begin, end) of head h in sequence n.
template <class T>
struct ForwardTask {
  using F = ComputeType<T>;
  AttentionSizes s;
  HeadRows<T> y;
  F* lse;
  HeadRows<const T> q, k, v;
  std::int64_t n, h, begin, end;

  // What run() needs of scratch, at most.
  std::int64_t scratch() const {
    const std::int64_t P = (s.D + kMostLanes - 1) / kMostLanes * kMostLanes;
    return (2 * s.S + 4 * kMostLanes) * P + kKeyBlock * kMostLanes;
  }

  template <int kWidth>
  [[gnu::always_inline]] void run(F* memory) const {
    using Tile = AttentionTile<F, kWidth>;
    constexpr int C = Tile::kLanes;
    const std::int64_t P = Tile::padded(s.D), keys = s.visible(n, end - 1), g = h / (s.H / s.G);
    F* keys_at = memory;
    F* values_at = keys_at + s.S * P;
    F* rows = values_at + s.S * P;
    F* queries = rows + C * P;
    F* sums = queries + C * P;
    F* scores = sums + C * P;
    Tile::stage(keys_at, k.at(n, g, 0), k.row, keys, s.D, keys);
    Tile::stage(values_at, v.at(n, g, 0), v.row, keys, s.D, keys);
    std::fill(sums, sums + C * P, F(0));
    for (std::int64_t i = begin; i < end; i += C) {
      const std::int64_t count = std::min<std::int64_t>(C, end - i);
      Tile::stage(rows, q.at(n, h, i), q.row, count, s.D, C, static_cast<F>(s.scale));
      Tile::to_lanes(queries, rows, P);
      F block_lse[C];
      attend<kWidth>(sums, block_lse, queries, keys_at, values_at, scores, i, count);
      for (std::int64_t l = 0; l < count; ++l) lse[(n * s.H + h) * s.T + i + l] = block_lse[l];
      Tile::to_rows(rows, sums, P);
      Tile::unstage(y.at(n, h, i), y.row, rows, count, s.D);
    }
  }

  template <int kWidth>
  [[gnu::always_inline]] void attend(F* sums, F* block_lse, const F* queries, const F* keys_at,
                                     const F* values_at, F* scores, std::int64_t i,
                                     std::int64_t count) const {
    using Tile = AttentionTile<F, kWidth>;
    constexpr int C = Tile::kLanes;
    const std::int64_t P = Tile::padded(s.D), visible = s.visible(n, i + count - 1);
    OnlineSoftmax<F, kWidth> softmax;
    for (std::int64_t j = 0; j < s.D * C; ++j) sums[j] = 0;
    for (std::int64_t j = 0; j < visible; j += kKeyBlock) {
      const std::int64_t keys = std::min(kKeyBlock, visible - j);
      Tile::product(scores, C, keys, {keys_at + j * P, P, 1}, queries, C, s.D, false);
      if (s.causal) hide<kWidth>(scores, i, j, keys);
      softmax.add(scores, keys, sums, s.D);
      if (s.drops()) drop<kWidth>(scores, i, count, j, keys);
      Tile::product(sums, C, s.D, {values_at + j * P, 1, P}, scores, C, keys, true);
    }
    softmax.finish(sums, s.D, block_lse);
  }

  // What is left of the exponentials of keys j.. for queries i..
  template <int kWidth>
  [[gnu::always_inline]] void drop(F* scores, std::int64_t i, std::int64_t count, std::int64_t j,
                                   std::int64_t keys) const {
    constexpr int C = AttentionTile<F, kWidth>::kLanes;
    for_each_kept<F>(s, {n, h, i, count}, j, keys, [=](std::int64_t key, std::int64_t l, F kept) {
      scores[key * C + l] *= kept;
    });
  }

  // Scores of keys j.. that queries i.. do not see become -inf.
  template <int kWidth>
  [[gnu::always_inline]] void hide(F* scores, std::int64_t i, std::int64_t j,
                                   std::int64_t keys) const {
    constexpr int C = AttentionTile<F, kWidth>::kLanes;
    const std::int64_t first = i + 1 + s.S - s.T - j;  // that query i does not see
    for (std::int64_t key = std::max<std::int64_t>(first, 0); key < keys; ++key) {
      const int hidden = static_cast<int>(std::min<std::int64_t>(key - first + 1, C));
#pragma omp simd
      for (int l = 0; l < C; ++l)
        scores[key * C + l] =
            l < hidden ? -std::numeric_limits<F>::infinity() : scores[key * C + l];
    }
  }
};

}  // namespace

void attention_forward(Heads& y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths, const AttentionOptions& options) {
  const AttentionSizes s = AttentionSizes(q, k, lengths, options).resolved();
  const std::int64_t pieces = (s.T + kQueryPiece - 1) / kQueryPiece;
  visit_floating(q.tensor.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const auto to = head_rows_to_write<T>(y);
    F* const lse_at = lse.data<F>();
    parallel_for(s.N * s.H * pieces, [&](std::int64_t t) {
      const std::int64_t begin = t % pieces * kQueryPiece, head = t / pieces;
      const ForwardTask<T> task{s,
                                to,
                                lse_at,
                                head_rows<T>(q),
                                head_rows<T>(k),
                                head_rows<T>(v),
                                head / s.H,
                                head % s.H,
                                begin,
                                std::min(s.T, begin + kQueryPiece)};
      Tensor scratch = Tensor::empty({task.scratch()}, dtype_of<F>());
      F* memory = scratch.data<F>();
      simd([&](auto lanes) { task.template run<lanes.value>(memory); });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

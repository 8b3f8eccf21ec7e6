// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/attention.h>

#include <limbeck/kernels/attention_tile.cuh>

namespace limbeck::cuda {
namespace {

constexpr float kInf = __builtin_huge_valf();

template <class T>
struct ForwardArgs {
  AttentionSizes s;
  HeadRows<T> y;
  float* lse;
  HeadRows<const T> q, k, v;
};

template <class T>
struct BackwardArgs {
  AttentionSizes s;
  HeadRows<T> dq, dk, dv;
  HeadRows<const T> dy, y;
  const float* lse;
  HeadRows<const T> q, k, v;
  float* delta;  // (N,H,T): dy . y
};

/// A block owns queries of a head and passes over the tiles of its keys: reads q, and k and v once
/// per block; writes y. Exponents are taken from the maximum so far, as on the CPU.
template <class Block, class T>
LIMBECK_KERNEL attention_forward_kernel(ForwardArgs<T> a) {
  constexpr int kPerWarp = Block::kPerWarp;
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const AttentionSizes s = a.s.resolved();
  const gpu::BlockPlace at(s.T, s.H, Block::kRows);
  const int D = static_cast<int>(s.D), pitch = D + 1;
  float* own = shared;
  float* keys = own + Block::kRows * pitch;
  float* values = keys + gpu::kTileRows * pitch;
  float* board = values + gpu::kTileRows * pitch;
  const std::int64_t g = at.head / (s.H / s.G), rows = s.T - at.first;
  const std::int64_t last = at.first + (rows < Block::kRows ? rows : Block::kRows) - 1;
  const std::int64_t visible = s.visible(at.n, last);
  Block::stage(own, a.q.at(at.n, at.head, at.first), a.q.row, rows, D, Block::kRows,
               static_cast<float>(s.scale));
  float max[kPerWarp], sum[kPerWarp], sums[kPerWarp][Block::kColumns] = {};
  for (int r = 0; r < kPerWarp; ++r) max[r] = -kInf, sum[r] = 0;
  for (std::int64_t j = 0; j < visible; j += gpu::kTileRows) {
    gpu::sync_block();  // the tile before has been read
    Block::stage(keys, a.k.at(at.n, g, j), a.k.row, visible - j, D, gpu::kTileRows);
    Block::stage(values, a.v.at(at.n, g, j), a.v.row, visible - j, D, gpu::kTileRows);
    gpu::sync_block();
    float weight[kPerWarp], top[kPerWarp], total[kPerWarp];
    Block::dots(weight, own, keys, D);
    for (int r = 0; r < kPerWarp; ++r) {
      const std::int64_t query = at.first + Block::first_row() + r;
      if (j + gpu::lane() >= s.visible(at.n, query)) weight[r] = -kInf;
      top[r] = weight[r];
    }
    gpu::warp_reduce(top, gpu::Max{});
    for (int r = 0; r < kPerWarp; ++r) {
      top[r] = gpu::Max{}(top[r], max[r]);
      const float shift = top[r] == -kInf ? 0.0f : top[r];  // no key seen yet
      const float factor = math::exp(max[r] - shift);
      max[r] = top[r];
      total[r] = weight[r] = math::exp(weight[r] - shift);
      sum[r] *= factor;
      for (int c = 0; c < Block::kColumns; ++c) sums[r][c] *= factor;
    }
    gpu::warp_reduce(total, gpu::Sum{});
    for (int r = 0; r < kPerWarp; ++r) sum[r] += total[r];
    for (int r = 0; r < kPerWarp && s.drops(); ++r)
      weight[r] *= s.kept(at.n, at.head, at.first + Block::first_row() + r, j + gpu::lane());
    Block::add(sums, weight, board, values, D);
  }
  float factor[kPerWarp];
  for (int r = 0; r < kPerWarp; ++r) {
    factor[r] = sum[r] == 0 ? 0.0f : 1.0f / sum[r];
    const std::int64_t query = at.first + Block::first_row() + r;
    if (gpu::lane() == 0 && query < s.T)
      a.lse[(at.n * s.H + at.head) * s.T + query] =
          sum[r] == 0 ? max[r] : max[r] + math::log(sum[r]);
  }
  Block::write(a.y.at(at.n, at.head, at.first), a.y.row, rows, sums, factor, D);
}

/// dq, and delta for the other gradients; as the forward, and reads y and dy once.
template <class Block, class T>
LIMBECK_KERNEL attention_backward_query_kernel(BackwardArgs<T> a) {
  constexpr int kPerWarp = Block::kPerWarp;
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const AttentionSizes s = a.s.resolved();
  const gpu::BlockPlace at(s.T, s.H, Block::kRows);
  const int D = static_cast<int>(s.D), pitch = D + 1;
  const float scale = static_cast<float>(s.scale);
  float* own = shared;
  float* own_dy = own + Block::kRows * pitch;
  float* keys = own_dy + Block::kRows * pitch;
  float* values = keys + gpu::kTileRows * pitch;
  float* board = values + gpu::kTileRows * pitch;
  const std::int64_t g = at.head / (s.H / s.G), rows = s.T - at.first;
  const std::int64_t last = at.first + (rows < Block::kRows ? rows : Block::kRows) - 1;
  const std::int64_t visible = s.visible(at.n, last);
  Block::stage(own, a.q.at(at.n, at.head, at.first), a.q.row, rows, D, Block::kRows, scale);
  Block::stage(own_dy, a.dy.at(at.n, at.head, at.first), a.dy.row, rows, D, Block::kRows);
  float lse[kPerWarp], delta[kPerWarp], sums[kPerWarp][Block::kColumns] = {};
  for (int r = 0; r < kPerWarp; ++r) {
    const std::int64_t query = at.first + Block::first_row() + r;
    lse[r] = query < s.T ? a.lse[(at.n * s.H + at.head) * s.T + query] : 0.0f;
    delta[r] = 0;
    const T* y = a.y.at(at.n, at.head, query);
    const T* dy = a.dy.at(at.n, at.head, query);
    for (int d = gpu::lane(); d < D && query < s.T; d += gpu::kWarp)
      delta[r] = math::fma(static_cast<float>(dy[d]), static_cast<float>(y[d]), delta[r]);
  }
  gpu::warp_reduce(delta, gpu::Sum{});
  for (std::int64_t j = 0; j < visible; j += gpu::kTileRows) {
    gpu::sync_block();  // the tile before has been read
    Block::stage(keys, a.k.at(at.n, g, j), a.k.row, visible - j, D, gpu::kTileRows);
    Block::stage(values, a.v.at(at.n, g, j), a.v.row, visible - j, D, gpu::kTileRows);
    gpu::sync_block();
    float p[kPerWarp], ds[kPerWarp];
    Block::dots(p, own, keys, D);
    Block::dots(ds, own_dy, values, D);
    for (int r = 0; r < kPerWarp; ++r) {
      const std::int64_t query = at.first + Block::first_row() + r;
      const bool seen = j + gpu::lane() < s.visible(at.n, query);
      if (s.drops()) ds[r] *= s.kept(at.n, at.head, query, j + gpu::lane());
      ds[r] = seen ? math::exp(p[r] - lse[r]) * (ds[r] - delta[r]) : 0.0f;
    }
    Block::add(sums, ds, board, keys, D);
  }
  float factor[kPerWarp];
  for (int r = 0; r < kPerWarp; ++r) {
    factor[r] = scale;
    const std::int64_t query = at.first + Block::first_row() + r;
    if (gpu::lane() == 0 && query < s.T) a.delta[(at.n * s.H + at.head) * s.T + query] = delta[r];
  }
  Block::write(a.dq.at(at.n, at.head, at.first), a.dq.row, rows, sums, factor, D);
}

/// dk and dv: a block owns keys and passes over the tiles of the queries that may see them, head
/// after head. Runs after the kernel above, whose delta it reads.
template <class Block, class T>
LIMBECK_KERNEL attention_backward_key_kernel(BackwardArgs<T> a) {
  constexpr int kPerWarp = Block::kPerWarp;
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const AttentionSizes s = a.s.resolved();
  const gpu::BlockPlace at(s.S, s.G, Block::kRows);
  const int D = static_cast<int>(s.D), pitch = D + 1;
  float* own = shared;
  float* own_v = own + Block::kRows * pitch;
  float* queries = own_v + Block::kRows * pitch;
  float* dy = queries + gpu::kTileRows * pitch;
  float* board = dy + gpu::kTileRows * pitch;
  const std::int64_t group = s.H / s.G, rows = s.S - at.first;
  Block::stage(own, a.k.at(at.n, at.head, at.first), a.k.row, rows, D, Block::kRows);
  Block::stage(own_v, a.v.at(at.n, at.head, at.first), a.v.row, rows, D, Block::kRows);
  float dk[kPerWarp][Block::kColumns] = {}, dv[kPerWarp][Block::kColumns] = {};
  // Earlier queries see none of these keys.
  const std::int64_t earliest = s.causal ? at.first - (s.S - s.T) : 0;
  const std::int64_t start = earliest > 0 ? earliest / gpu::kTileRows * gpu::kTileRows : 0;
  const std::int64_t end = at.first < s.length(at.n) ? s.T : 0;
  for (std::int64_t h = at.head * group; h < (at.head + 1) * group; ++h)
    for (std::int64_t i = start; i < end; i += gpu::kTileRows) {
      gpu::sync_block();  // the tile before has been read
      Block::stage(queries, a.q.at(at.n, h, i), a.q.row, s.T - i, D, gpu::kTileRows,
                   static_cast<float>(s.scale));
      Block::stage(dy, a.dy.at(at.n, h, i), a.dy.row, s.T - i, D, gpu::kTileRows);
      gpu::sync_block();
      const std::int64_t query = i + gpu::lane(), saved = (at.n * s.H + h) * s.T + query;
      const std::int64_t visible = query < s.T ? s.visible(at.n, query) : 0;
      const float lse = visible > 0 ? a.lse[saved] : 0.0f;
      const float delta = visible > 0 ? a.delta[saved] : 0.0f;
      float p[kPerWarp], ds[kPerWarp];
      Block::dots(p, own, queries, D);
      Block::dots(ds, own_v, dy, D);
      for (int r = 0; r < kPerWarp; ++r) {
        const std::int64_t key = at.first + Block::first_row() + r;
        const float kept = s.drops() ? s.kept(at.n, h, query, key) : 1.0f;
        p[r] = key < visible ? math::exp(p[r] - lse) : 0.0f;
        ds[r] = p[r] * (kept * ds[r] - delta);
        p[r] *= kept;
      }
      Block::add(dv, p, board, dy, D);
      Block::add(dk, ds, board, queries, D);
    }
  float one[kPerWarp];
  for (int r = 0; r < kPerWarp; ++r) one[r] = 1;
  Block::write(a.dk.at(at.n, at.head, at.first), a.dk.row, rows, dk, one, D);
  Block::write(a.dv.at(at.n, at.head, at.first), a.dv.row, rows, dv, one, D);
}

/// Blocks that own `rows` rows of each of `heads` heads, and have two tiles, `own` arrays of their
/// own rows, and a board.
template <class Block>
gpu::Launch launch_blocks(const char* name, std::int64_t heads, std::int64_t rows, std::int64_t D,
                          int own) {
  const std::int64_t floats =
      (own * Block::kRows + 2 * gpu::kTileRows) * (D + 1) + Block::kRows * gpu::kTileRows;
  return {name, static_cast<unsigned>(heads * gpu::blocks_for(rows, Block::kRows)),
          static_cast<unsigned>(Block::kThreads), static_cast<std::size_t>(floats) * sizeof(float)};
}

}  // namespace

void attention_forward(Heads& y, Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                       const Tensor& lengths, const AttentionOptions& options) {
  const AttentionSizes s(q, k, lengths, options);
  if (lse.numel() == 0) return;
  gpu::visit_gpu_floating("attention_forward", q.tensor.dtype(), [&]<class T>(TypeTag<T>) {
    const ForwardArgs<T> args{s,
                              head_rows_to_write<T>(y),
                              lse.data<float>(),
                              head_rows<T>(q),
                              head_rows<T>(k),
                              head_rows<T>(v)};
    gpu::visit_attention_block("attention_forward", s.D, [&]<class Block>(TypeTag<Block>) {
      gpu::launch(launch_blocks<Block>("attention_forward", s.N * s.H, s.T, s.D, 1),
                  attention_forward_kernel<Block, T>, args);
    });
  });
}

void attention_backward(Heads& dq, Heads& dk, Heads& dv, const Heads& dy, const Heads& y,
                        const Tensor& lse, const Heads& q, const Heads& k, const Heads& v,
                        const Tensor& lengths, const AttentionOptions& options) {
  const AttentionSizes s(q, k, lengths, options);
  Tensor delta = Tensor::empty(lse.shape(), DType::f32, lse.device());
  gpu::visit_gpu_floating("attention_backward", q.tensor.dtype(), [&]<class T>(TypeTag<T>) {
    const BackwardArgs<T> args{s,
                               head_rows_to_write<T>(dq),
                               head_rows_to_write<T>(dk),
                               head_rows_to_write<T>(dv),
                               head_rows<T>(dy),
                               head_rows<T>(y),
                               lse.data<float>(),
                               head_rows<T>(q),
                               head_rows<T>(k),
                               head_rows<T>(v),
                               delta.data<float>()};
    gpu::visit_attention_block("attention_backward", s.D, [&]<class Block>(TypeTag<Block>) {
      if (lse.numel() > 0)
        gpu::launch(launch_blocks<Block>("attention_backward_query", s.N * s.H, s.T, s.D, 2),
                    attention_backward_query_kernel<Block, T>, args);
      if (s.N * s.S > 0)
        gpu::launch(launch_blocks<Block>("attention_backward_key", s.N * s.G, s.S, s.D, 2),
                    attention_backward_key_kernel<Block, T>, args);
    });
  });
}

}  // namespace limbeck::cuda

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/topk.h>

#include <limbeck/kernels/log_sum.h>
#include <limbeck/kernels/order_key.cuh>
#include <limbeck/kernels/rest_softmax.cuh>

namespace limbeck::cuda {
namespace {

using gpu::Key;

constexpr int kDigits = 256;
constexpr int kDigitsPerLane = kDigits / gpu::kWarp;

/// Shared by the threads of a row.
struct Scratch {
  Key* keys;            // K
  unsigned* histogram;  // kDigits
  unsigned* count;      // of keys
};
/// In Keys.
LIMBECK_HD std::size_t scratch_size(int K) { return static_cast<std::size_t>(K + kDigits / 2 + 1); }

template <class Rows>
LIMBECK_DEVICE Scratch scratch_of_row(Key* shared, int K) {
  Key* keys = shared + static_cast<std::size_t>(gpu::RowTeam<Rows>::slot()) * scratch_size(K);
  unsigned* histogram = reinterpret_cast<unsigned*>(keys + K);
  return {keys, histogram, histogram + kDigits};
}

/// The digit of the `wanted`-th largest of the keys counted, which is the left-th among the `count`
/// with that digit. Every warp works it out for itself.
struct Digit {
  unsigned value, left, count;
};
LIMBECK_DEVICE Digit find_digit(const unsigned* histogram, unsigned wanted) {
  const unsigned* mine = histogram + gpu::lane() * kDigitsPerLane;
  unsigned sum = 0;
  for (int j = 0; j < kDigitsPerLane; ++j) sum += mine[j];
  unsigned from_here = sum;  // and in the lanes after this one
  for (int distance = 1; distance < gpu::kWarp; distance *= 2) {
    const unsigned other = gpu::shuffle_down(from_here, distance);
    if (gpu::lane() + distance < gpu::kWarp) from_here += other;
  }
  Key found[1] = {0};
  if (const unsigned above = from_here - sum; above < wanted && wanted <= from_here) {
    unsigned left = wanted - above;
    int j = kDigitsPerLane - 1;
    while (left > mine[j]) left -= mine[j--];
    const unsigned value = static_cast<unsigned>(gpu::lane() * kDigitsPerLane + j);
    found[0] = (Key{value} << 24 | left) << 32 | mine[j];
  }
  gpu::warp_reduce(found, gpu::Sum{});
  const unsigned high = static_cast<unsigned>(found[0] >> 32);
  return {high >> 24, high & 0xffffffu, static_cast<unsigned>(found[0])};
}

/// A bound that K keys of the row reach, found digit by digit from the top: mostly by the digits of
/// the value, by those of the column where equal elements are to be told apart.
template <class Rows>
LIMBECK_DEVICE Key find_bound(const Rows& rows, unsigned K, unsigned* histogram) {
  using Team = gpu::RowTeam<Rows>;
  Key bound = 0;
  unsigned wanted = K;
  for (int shift = 56; shift >= 0; shift -= 8) {
    Team::sync();  // the last histogram has been read
    for (int i = Team::thread(); i < kDigits; i += Team::kThreads) histogram[i] = 0;
    Team::sync();
    rows.each([&](const auto& p) {
      LIMBECK_UNROLL
      for (int j = 0; j < p.size; ++j) {
        if (!p.holds(j)) continue;
        const Key key = gpu::order_key(p.z[0][j], p.column(j));
        if ((key ^ bound) >> shift >> 8 == 0)
          gpu::atomic_add(&histogram[key >> shift & (kDigits - 1)], 1u);
      }
    });
    Team::sync();
    const Digit digit = find_digit(histogram, wanted);
    bound |= Key{digit.value} << shift;
    wanted = digit.left;
    if (digit.count == wanted) break;
  }
  return bound;
}

/// Any thread may take any place in the list, but every key knows its rank.
template <class Rows>
LIMBECK_DEVICE void write_in_order(const Rows& rows, Key bound, int K, const Scratch& scratch,
                                   float* values, std::int32_t* indices) {
  using Team = gpu::RowTeam<Rows>;
  if (rows.leader()) *scratch.count = 0;
  Team::sync();
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j) {
      if (!p.holds(j)) continue;
      const Key key = gpu::order_key(p.z[0][j], p.column(j));
      if (key >= bound) scratch.keys[gpu::atomic_add(scratch.count, 1u)] = key;
    }
  });
  Team::sync();
  for (int i = Team::thread(); i < K; i += Team::kThreads) {
    const Key key = scratch.keys[i];
    int rank = 0;
    for (int other = 0; other < K; ++other) rank += scratch.keys[other] > key ? 1 : 0;
    indices[rank] = gpu::column_of(key);
    values[rank] = rows.at(0, gpu::column_of(key));
  }
}

/// As many threads as rows.cuh gives a row; reads N*V elements, rows longer than 1024 up to ten
/// times, mostly five, all but the first mostly from L2.
template <class Rows, class Args>
LIMBECK_KERNEL topk_kernel(float* values, std::int32_t* indices, float* rest_lse, Args args, int K,
                           double tau) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  LIMBECK_DYNAMIC_SHARED(Key, shared);
  const Scratch scratch = scratch_of_row<Rows>(shared, K);
  const Rows rows(args, row);
  values += row * K;
  indices += row * K;
  int bad[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && !(p.z[0][j] < __builtin_huge_valf())) bad[0] = 1;
  });
  rows.reduce(bad, gpu::Sum{});
  if (bad[0] != 0) {
    for (int k = gpu::RowTeam<Rows>::thread(); k < K; k += gpu::RowTeam<Rows>::kThreads) {
      values[k] = __builtin_nanf("");
      indices[k] = -1;
    }
    if (rest_lse && rows.leader()) rest_lse[row] = __builtin_nanf("");
    return;
  }
  const Key bound = find_bound(rows, static_cast<unsigned>(K), scratch.histogram);
  write_in_order(rows, bound, K, scratch, values, indices);
  if (rest_lse == nullptr) return;
  const auto is_rest = [&](const auto& p, int j) {
    return gpu::order_key(p.z[0][j], p.column(j)) < bound;
  };
  const float max = gpu::rest_max(rows, is_rest);
  const double sum = gpu::rest_sum(rows, max, static_cast<float>(1 / tau), is_rest);
  if (rows.leader()) rest_lse[row] = static_cast<float>(log_sum_exp(max, sum, tau));
}

}  // namespace

void topk(Tensor& values, Tensor& indices, Tensor& rest_lse, const Tensor& logits, double tau) {
  const std::int64_t N = logits.dim(0);
  if (N == 0) return;
  const int K = static_cast<int>(values.dim(1));
  gpu::visit_gpu_floating("topk", logits.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{logits.data<T>()}, nullptr, N, static_cast<int>(logits.dim(1))};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::Launch launch = gpu::rows_launch<Rows>("topk", N);
      launch.dynamic_shared = Rows::kBlockRows * scratch_size(K) * sizeof(Key);
      gpu::launch(launch, topk_kernel<Rows, Args>, values.data<float>(),
                  indices.data<std::int32_t>(),
                  rest_lse.defined() ? rest_lse.data<float>() : nullptr, args, K, tau);
    });
  });
}

}  // namespace limbeck::cuda

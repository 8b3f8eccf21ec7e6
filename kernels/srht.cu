// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/srht.h>

#include <bit>
#include <cmath>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kRadix = 16;       // elements per thread: four bits of the index at a time
constexpr int kElements = 4096;  // per block, unless one row has more

template <class T>
struct Args {
  T* out;
  const T* in;
  const std::int32_t* signs;
  const std::int32_t* rows;
  std::int64_t N;
  int D, log_P, K;
  float scale;
  bool aligned;  // every row of `in` begins at a multiple of 16 bytes
};

/// Where element e of a block is kept: the exclusive-or lets both a warp whose threads own 16
/// neighbours each and one whose threads own every 16th hit 32 different banks.
LIMBECK_DEVICE int place(int e) { return e ^ ((e >> 5 & 7) | (e >> 8 & 1) * 24); }

/// Element i of a thread that owns the bits [low, low + 4) of the index.
LIMBECK_DEVICE int element(int low, int i) {
  const int t = static_cast<int>(threadIdx.x);
  return (t & ((1 << low) - 1)) | (t >> low) << (low + 4) | i << low;
}

/// Butterflies over the bits of v's index from `first` on, as many as there are of [0, count).
LIMBECK_DEVICE void butterflies(float (&v)[kRadix], int first, int count) {
  LIMBECK_UNROLL
  for (int bit = 0; bit < 4; ++bit) {
    if (bit < first || bit >= count) continue;
    LIMBECK_UNROLL
    for (int i = 0; i < kRadix; ++i) {
      if ((i >> bit & 1) != 0) continue;
      const float a = v[i], b = v[i | 1 << bit];
      v[i] = a + b;
      v[i | 1 << bit] = a - b;
    }
  }
}

/// The transform of every row in the block's shared memory; v holds elements 0..15 of a thread's
/// 16 neighbours. The rows stand one after another, so they are one index with log_P bits to do.
LIMBECK_DEVICE void hadamard(float* shared, float (&v)[kRadix], int log_P) {
  butterflies(v, 0, log_P);
  for (int i = 0; i < kRadix; ++i) shared[place(element(0, i))] = v[i];
  gpu::sync_block();
  for (int done = 4; done < log_P; done += 4) {
    // The last group of four bits may begin below what is left to do.
    const int low = done + 4 <= log_P ? done : log_P - 4;
    LIMBECK_UNROLL
    for (int i = 0; i < kRadix; ++i) v[i] = shared[place(element(low, i))];
    butterflies(v, done - low, log_P - low);
    LIMBECK_UNROLL
    for (int i = 0; i < kRadix; ++i) shared[place(element(low, i))] = v[i];
    gpu::sync_block();
  }
}

LIMBECK_DEVICE float sign(std::uint32_t word, int bit) {
  return (word >> bit & 1u) != 0 ? -1.0f : 1.0f;
}

/// Element e of the padded rows from n0 on.
template <class T>
LIMBECK_DEVICE float element_of(const Args<T>& args, std::int64_t n0, int e) {
  const std::int64_t n = n0 + (e >> args.log_P);
  const int d = e & ((1 << args.log_P) - 1);
  return n < args.N && d < args.D ? static_cast<float>(args.in[n * args.D + d]) : 0.0f;
}

/// One block per 4096 elements of padded rows, or per row of more. Reads N*D, writes N*K; in shared
/// memory each element is written and read once per four bits of its index.
template <class T>
LIMBECK_KERNEL srht_forward_kernel(Args<T> args) {
  LIMBECK_DYNAMIC_SHARED(float, shared);
  constexpr int kLanes = gpu::kLanes<T>;
  const int width = 1 << args.log_P, elements = static_cast<int>(blockDim.x) * kRadix;
  const int block_rows = elements >> args.log_P;
  const std::int64_t n0 = std::int64_t{blockIdx.x} * block_rows;
  const int first = element(0, 0), d0 = first & (width - 1);
  const std::uint32_t bits = static_cast<std::uint32_t>(args.signs[d0 / 32]) >> d0 % 32;
  const bool whole = args.aligned && width >= kRadix && n0 + (first >> args.log_P) < args.N &&
                     d0 + kRadix <= args.D;
  const T* row = args.in + (n0 + (first >> args.log_P)) * args.D + d0;
  float v[kRadix];
  LIMBECK_UNROLL
  for (int i = 0; i < kRadix; i += kLanes) {
    if (whole) {
      const gpu::Vector<T> pack = gpu::load_vector(row + i);
      LIMBECK_UNROLL
      for (int j = 0; j < kLanes; ++j) v[i + j] = static_cast<float>(pack.lane[j]);
    } else {
      LIMBECK_UNROLL
      for (int j = i; j < i + kLanes; ++j) v[j] = element_of(args, n0, first + j);
    }
  }
  LIMBECK_UNROLL
  for (int i = 0; i < kRadix; ++i) v[i] *= sign(bits, i & (width - 1));
  hadamard(shared, v, args.log_P);
  for (int i = static_cast<int>(threadIdx.x); i < block_rows * args.K;
       i += static_cast<int>(blockDim.x)) {
    const int r = i / args.K, k = i % args.K;
    if (n0 + r < args.N)
      args.out[(n0 + r) * args.K + k] =
          T(shared[place(r << args.log_P | args.rows[k])] * args.scale);
  }
}

/// As the forward; reads N*K, writes N*D.
template <class T>
LIMBECK_KERNEL srht_backward_kernel(Args<T> args) {
  LIMBECK_DYNAMIC_SHARED(float, shared);
  const int threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const int elements = threads * kRadix, block_rows = elements >> args.log_P;
  const std::int64_t n0 = std::int64_t{blockIdx.x} * block_rows;
  for (int i = thread; i < elements; i += threads) shared[i] = 0;
  gpu::sync_block();
  for (int i = thread; i < block_rows * args.K; i += threads) {
    const int r = i / args.K, k = i % args.K;
    if (n0 + r < args.N)
      shared[place(r << args.log_P | args.rows[k])] =
          static_cast<float>(args.in[(n0 + r) * args.K + k]);
  }
  gpu::sync_block();
  float v[kRadix];
  LIMBECK_UNROLL
  for (int i = 0; i < kRadix; ++i) v[i] = shared[place(element(0, i))];
  hadamard(shared, v, args.log_P);
  for (int e = thread; e < elements; e += threads) {
    const std::int64_t n = n0 + (e >> args.log_P);
    const int d = e & ((1 << args.log_P) - 1);
    if (n < args.N && d < args.D) {
      const auto word = static_cast<std::uint32_t>(args.signs[d / 32]);
      args.out[n * args.D + d] = T(shared[place(e)] * sign(word, d % 32) * args.scale);
    }
  }
}

template <class T>
void launch(const char* name, void (*kernel)(Args<T>), Tensor& out, const Tensor& in,
            const SrhtPlan& plan) {
  const int P = static_cast<int>(plan.P);
  const int elements = P > kElements ? P : kElements;
  const Args<T> args{out.data<T>(),
                     in.data<T>(),
                     plan.signs.data<std::int32_t>(),
                     plan.rows.data<std::int32_t>(),
                     in.dim(0),
                     static_cast<int>(plan.D),
                     std::countr_zero(static_cast<unsigned>(P)),
                     static_cast<int>(plan.K),
                     static_cast<float>(1 / std::sqrt(static_cast<double>(plan.K))),
                     gpu::misalignment(in.raw()) == 0 && in.dim(1) % gpu::kLanes<T> == 0};
  const unsigned blocks = gpu::blocks_for(args.N, elements / P);
  gpu::launch({name, blocks, static_cast<unsigned>(elements / kRadix),
               static_cast<std::size_t>(elements) * sizeof(float)},
              kernel, args);
}

}  // namespace

void srht_forward(Tensor& y, const Tensor& x, const SrhtPlan& plan) {
  if (y.numel() == 0) return;
  gpu::visit_gpu_floating("srht", x.dtype(), [&]<class T>(TypeTag<T>) {
    launch<T>("srht_forward", srht_forward_kernel<T>, y, x, plan);
  });
}

void srht_backward(Tensor& dx, const Tensor& dy, const SrhtPlan& plan) {
  if (dy.numel() == 0) return;
  gpu::visit_gpu_floating("srht", dy.dtype(), [&]<class T>(TypeTag<T>) {
    launch<T>("srht_backward", srht_backward_kernel<T>, dx, dy, plan);
  });
}

}  // namespace limbeck::cuda

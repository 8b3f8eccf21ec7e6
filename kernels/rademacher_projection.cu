// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rademacher_projection.h>

#include <cmath>

#include <limbeck/kernels/rademacher_mma.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kChunk = 128;  // elements of a row whose tables are in shared memory at once
constexpr int kQuads = kChunk / 4;
constexpr int kQuadSums = 16;
constexpr int kFewRows = 512;  // below, a block takes fewer rows so that there are more blocks

/// The 16 signed sums of each quad of kRows rows, bit i of a sum's number meaning that element i is
/// subtracted. A warp looks up one table at a time, so its lanes hit 16 different banks. The 4
/// extra words put the tables that neighbouring threads write into different banks.
template <int kRows>
struct Tables {
  static constexpr int kQuadStride = kRows * kQuadSums + 4;

  LIMBECK_DEVICE static void write(float* tables, int quad, int row, const float* x) {
    const float low[4] = {x[0] + x[1], x[1] - x[0], x[0] - x[1], -x[0] - x[1]};
    const float high[4] = {x[2] + x[3], x[3] - x[2], x[2] - x[3], -x[2] - x[3]};
    float* table = tables + quad * kQuadStride + row * kQuadSums;
    LIMBECK_UNROLL
    for (int h = 0; h < 4; ++h) {
      gpu::Vector<float> sums;
      LIMBECK_UNROLL
      for (int l = 0; l < 4; ++l) sums.lane[l] = low[l] + high[h];
      gpu::store_vector(table + 4 * h, sums);
    }
  }

  /// Those of elements d0 .. d0 + kChunk - 1 of rows n0 .., zeros beyond the ends.
  template <class T>
  LIMBECK_DEVICE static void fill(float* tables, const gpu::SignProduct<T>& args, std::int64_t n0,
                                  std::int64_t d0) {
    constexpr int kLanes = gpu::kLanes<T>;
    constexpr int kPacks = kChunk / kLanes;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks;
         i += static_cast<int>(blockDim.x)) {
      const int row = i / kPacks, d = i % kPacks * kLanes;
      const T* in = args.in + (n0 + row) * args.D;
      const std::int64_t left = n0 + row < args.N ? args.D - d0 - d : 0;
      float x[kLanes];
      if (args.aligned && left >= kLanes) {
        const gpu::Vector<T> pack = gpu::load_vector(in + d0 + d);
        for (int lane = 0; lane < kLanes; ++lane) x[lane] = static_cast<float>(pack.lane[lane]);
      } else {
        for (int lane = 0; lane < kLanes; ++lane)
          x[lane] = lane < left ? static_cast<float>(in[d0 + d + lane]) : 0.0f;
      }
      for (int j = 0; j < kLanes; j += 4) write(tables, (d + j) / 4, row, x + j);
    }
  }
};

/// Signs of a thread's row of Phi, for the forward: one Philox block per chunk, in registers.
struct RowSigns {
  std::uint32_t words[4];

  LIMBECK_DEVICE void make(const RademacherMatrix& matrix, std::int64_t column, std::int64_t d0) {
    const Philox4 b = rademacher_block(matrix, static_cast<std::uint32_t>(column + threadIdx.x),
                                       static_cast<std::uint32_t>(d0 / kChunk));
    words[0] = b.x;
    words[1] = b.y;
    words[2] = b.z;
    words[3] = b.w;
  }
  LIMBECK_DEVICE unsigned sum_number(int word, int j) const { return words[word] >> 4 * j & 15u; }
};

/// Signs of a thread's column of Phi, for the backward: bits in shared memory, the words of four
/// rows side by side.
struct ColumnSigns {
  static constexpr int kWords = kMaxThreads / 32;
  std::uint32_t* bits;

  LIMBECK_DEVICE ColumnSigns() {
    LIMBECK_SHARED_ALIGNED(16, std::uint32_t, shared, [kQuads * kWords * 4]);
    bits = shared;
  }
  LIMBECK_DEVICE std::uint32_t* of(int quad, int word) const {
    return bits + (quad * kWords + word) * 4;
  }
  LIMBECK_DEVICE void make(const RademacherMatrix& matrix, std::int64_t column, std::int64_t k0) {
    const int blocks = (static_cast<int>(blockDim.x) + 127) / 128;
    for (int i = static_cast<int>(threadIdx.x); i < kChunk * blocks;
         i += static_cast<int>(blockDim.x)) {
      const int k = i % kChunk, block = i / kChunk;
      const Philox4 b = rademacher_block(matrix, static_cast<std::uint32_t>(k0 + k),
                                         static_cast<std::uint32_t>(column / 128 + block));
      const std::uint32_t words[4] = {b.x, b.y, b.z, b.w};
      for (int w = 0; w < 4; ++w) of(k / 4, 4 * block + w)[k % 4] = words[w];
    }
  }
  LIMBECK_DEVICE unsigned sum_number(int word, int j) const {
    const gpu::Pack16 rows = gpu::load16(of(8 * word + j, gpu::warp()));
    const int lane = gpu::lane();
    return (rows.word[0] >> lane & 1u) | (rows.word[1] >> lane & 1u) << 1 |
           (rows.word[2] >> lane & 1u) << 2 | (rows.word[3] >> lane & 1u) << 3;
  }
};

/// One block per kRows rows and blockDim.x columns, one thread per column. Reads x once per block,
/// writes N*C; per element of out, D/4 lookups in shared memory and as many additions.
template <class Signs, int kRows, class T>
LIMBECK_KERNEL sign_product_kernel(gpu::SignProduct<T> args) {
  LIMBECK_SHARED_ALIGNED(16, float, tables, [kQuads * Tables<kRows>::kQuadStride]);
  const std::int64_t n0 = std::int64_t{blockIdx.x} * kRows;
  const std::int64_t first = std::int64_t{blockIdx.y} * kMaxThreads;
  Signs signs;
  float acc[kRows] = {};
  for (std::int64_t d0 = 0; d0 < args.D; d0 += kChunk) {
    signs.make(args.matrix, first, d0);
    Tables<kRows>::fill(tables, args, n0, d0);
    gpu::sync_block();
    const int quads = args.D - d0 < kChunk ? static_cast<int>(args.D - d0 + 3) / 4 : kQuads;
    LIMBECK_UNROLL
    for (int word = 0; word < 4; ++word) {
      const int count = quads - 8 * word < 8 ? quads - 8 * word : 8;
      for (int j = 0; j < count; ++j) {
        const float* at =
            tables + (8 * word + j) * Tables<kRows>::kQuadStride + signs.sum_number(word, j);
        LIMBECK_UNROLL
        for (int r = 0; r < kRows; ++r) acc[r] += at[r * kQuadSums];
      }
    }
    gpu::sync_block();  // the next chunk overwrites tables and bits
  }
  const std::int64_t column = first + threadIdx.x;
  if (column >= args.C) return;
  LIMBECK_UNROLL
  for (int r = 0; r < kRows; ++r)
    if (n0 + r < args.N) args.out[(n0 + r) * args.C + column] = T(acc[r] * args.scale);
}

template <class Signs, template <class> class Fragments>
void sign_product(const char* name, Tensor& out, const Tensor& in, const RademacherMatrix& matrix,
                  double scale) {
  const std::int64_t N = in.dim(0), D = in.dim(1), C = out.dim(1);
  if (N == 0) return;
  gpu::visit_gpu_floating(name, in.dtype(), [&]<class T>(TypeTag<T>) {
    const bool aligned = gpu::misalignment(in.raw()) == 0 && D % gpu::kLanes<T> == 0;
    const gpu::SignProduct<T> args{
        out.data<T>(), in.data<T>(), N, D, C, matrix, static_cast<float>(scale), aligned};
    if constexpr (sizeof(T) == 2)
      if (aligned && gpu::compute_capability() >= 80)
        return gpu::launch(
            {name, gpu::blocks_for(C, gpu::kMmaTile) * gpu::blocks_for(N, gpu::kMmaTile),
             gpu::kMmaThreads},
            gpu::sign_mma_kernel<Fragments<T>, T>, args);
    const unsigned threads =
        C < kMaxThreads ? gpu::blocks_for(C, gpu::kWarp) * gpu::kWarp : kMaxThreads;
    const unsigned columns = gpu::blocks_for(C, kMaxThreads);
    if (N <= kFewRows)
      gpu::launch({name, {gpu::blocks_for(N, 4), columns}, threads},
                  sign_product_kernel<Signs, 4, T>, args);
    else
      gpu::launch({name, {gpu::blocks_for(N, 16), columns}, threads},
                  sign_product_kernel<Signs, 16, T>, args);
  });
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  sign_product<RowSigns, gpu::RowFragments>("rademacher_projection_forward", y, x, matrix,
                                            1 / std::sqrt(static_cast<double>(y.dim(1))));
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  sign_product<ColumnSigns, gpu::ColumnFragments>("rademacher_projection_backward", dx, dy, matrix,
                                                  1 / std::sqrt(static_cast<double>(dy.dim(1))));
}

}  // namespace limbeck::cuda

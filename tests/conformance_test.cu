// SPDX-License-Identifier: Apache-2.0
// The device language against CUDA's documentation: the same kernels run on a real GPU and on the
// emulated one, and what they give is computed here a second time, from the text of the CUDA
// programming guide and the PTX ISA. So the two agree where this test passes on both.
#include <limbeck/tests/conformance.h>

namespace limbeck {
namespace {

// --- warp functions ------------------------------------------------------------------------------

LIMBECK_KERNEL warp_functions_kernel(int* out) {
  const int t = static_cast<int>(threadIdx.x), lane = t % kWarp;
  int* row = out + t;
  const int n = static_cast<int>(blockDim.x);
  row[0 * n] = gpu::shuffle(t, 7);
  row[1 * n] = gpu::shuffle(t, lane + 30);  // taken modulo 32
  row[2 * n] = gpu::shuffle_xor(t, 5);
  row[3 * n] = gpu::shuffle_down(t, 3);
  row[4 * n] = static_cast<int>(gpu::ballot(lane % 3 == 0));
  row[5 * n] = gpu::any(t == 4);
  row[6 * n] = gpu::all(t < 32);
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  if (lane < 16) {
    row[7 * n] = static_cast<int>(gpu::ballot(lane % 2 == 0, half));
    row[8 * n] = gpu::shuffle_xor(t, 15, half);
    row[9 * n] = gpu::all(true, half);
  } else {
    row[7 * n] = static_cast<int>(gpu::ballot(lane % 4 == 0, half));
    row[8 * n] = gpu::shuffle_down(t, 1, half);
    row[9 * n] = gpu::any(false, half);
  }
}

TEST_F(ConformanceTest, WarpFunctions) {
  const int n = 64;
  Tensor out = ints(10 * n);
  gpu::launch({"warp_functions", 1, n}, warp_functions_kernel, out.data<int>());
  const std::vector<int> v = out.to_vector<int>();
  for (int t = 0; t < n; ++t) {
    const int lane = t % 32, warp = t - lane;
    const int expected[] = {warp + 7,
                            warp + (lane + 30) % 32,
                            warp + (lane ^ 5),
                            lane + 3 < 32 ? t + 3 : t,
                            0x49249249,
                            warp == 0,
                            warp == 0,
                            lane < 16 ? 0x5555 : 0x11110000,
                            lane < 16 ? t ^ 15 : (lane < 31 ? t + 1 : t),
                            lane < 16};
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(v[static_cast<std::size_t>(i * n + t)], expected[i]) << "row " << i << " of " << t;
  }
}

LIMBECK_KERNEL atomics_kernel(unsigned* counters) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  gpu::atomic_add(&counters[0], i);
  gpu::atomic_max(&counters[1], 0x80000000u + i * 37 % 512);  // each number below 512 once
  gpu::atomic_cas(&counters[2], 17, 18);
  if (gpu::atomic_cas(&counters[3], 5, 6) == 5) gpu::atomic_add(&counters[4], 1);
}

TEST_F(ConformanceTest, Atomics) {
  Tensor counters = on_device<int>({0, 0, 1, 5, 0});
  gpu::launch({"atomics", 4, 128}, atomics_kernel, words(counters));
  EXPECT_EQ(counters.to_vector<int>(),
            (std::vector<int>{511 * 512 / 2, static_cast<int>(0x800001ffu), 1, 6, 1}));
}

// --- asynchronous copies -------------------------------------------------------------------------

/// Thread i copies i % (kBytes + 1) valid bytes; two groups are under way at a time.
template <int kBytes>
LIMBECK_KERNEL copies_kernel(unsigned char* out, const unsigned char* in) {
  LIMBECK_SHARED_ALIGNED(16, unsigned char, stage, [2][32][kBytes]);
  const int lane = static_cast<int>(threadIdx.x);
  const auto start = [&](int round) {
    gpu::copy_async<kBytes>(&stage[round % 2][lane][0], in + (round * 32 + lane) * kBytes,
                            (lane + round) % (kBytes + 1));
    gpu::commit_copies();
  };
  start(0);
  for (int round = 0; round < 4; ++round) {
    if (round + 1 < 4)
      start(round + 1);
    else
      gpu::commit_copies();
    gpu::wait_copies<1>();
    gpu::sync_block();
    for (int i = 0; i < kBytes; ++i)  // another thread's
      out[(round * 32 + lane) * kBytes + i] = stage[round % 2][31 - lane][i];
    gpu::sync_block();
  }
}

template <int kBytes>
void expect_copies() {
  std::vector<std::uint8_t> values(4 * 32 * kBytes);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::uint8_t>(i % 251 + 1);
  const Tensor in =
      Tensor::from(values, {static_cast<std::int64_t>(values.size())}, Device::cuda());
  Tensor out = Tensor::zeros(in.shape(), DType::u8, Device::cuda());
  gpu::launch({"copies", 1, 32}, copies_kernel<kBytes>, out.data<std::uint8_t>(),
              in.data<std::uint8_t>());
  const std::vector<std::uint8_t> v = out.to_vector<std::uint8_t>();
  for (int round = 0; round < 4; ++round)
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < kBytes; ++i) {
        const int from = 31 - lane;
        const auto at = [&](int l) {
          return static_cast<std::size_t>((round * 32 + l) * kBytes + i);
        };
        EXPECT_EQ(v[at(lane)], i < (from + round) % (kBytes + 1) ? values[at(from)] : 0);
      }
}

TEST_F(ConformanceTest, AsynchronousCopiesFillWithZeros) {
  expect_copies<4>();
  expect_copies<8>();
  expect_copies<16>();
}

/// Thread 0 copies two pieces per round; two rounds are under way at a time.
LIMBECK_KERNEL bulk_copies_kernel(std::uint32_t* out, const std::uint32_t* in) {
  LIMBECK_SHARED_ALIGNED(16, std::uint32_t, stage, [2][32]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [2]);
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 2) gpu::init_barrier(ready[lane], 1);
  gpu::sync_block();
  const auto start = [&](int round) {
    if (lane != 0 || round >= 5) return;
    gpu::arrive_expecting(ready[round % 2], 128);
    gpu::copy_bulk(&stage[round % 2][0], in + 32 * round, 16, ready[round % 2]);
    gpu::copy_bulk(&stage[round % 2][4], in + 32 * round + 4, 112, ready[round % 2]);
  };
  start(0);
  start(1);
  for (int round = 0; round < 5; ++round) {
    gpu::wait_barrier(ready[round % 2], static_cast<unsigned>(round) / 2 % 2);
    out[32 * round + lane] = stage[round % 2][31 - lane];
    gpu::fence_copies();
    gpu::sync_block();
    start(round + 2);
  }
}

TEST_F(ConformanceTest, BulkCopiesAreCounted) {
  if (older_than(90)) GTEST_SKIP() << "bulk copies need sm_90";
  std::vector<int> values(5 * 32);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int>(3 * i + 1);
  const Tensor in = on_device(values);
  Tensor out = ints(5 * 32);
  gpu::launch({"bulk_copies", 1, 32}, bulk_copies_kernel, words(out), words(in));
  const std::vector<int> v = out.to_vector<int>();
  for (std::size_t i = 0; i < v.size(); ++i) EXPECT_EQ(v[i], values[i / 32 * 32 + 31 - i % 32]);
}

// --- clusters and grids --------------------------------------------------------------------------

/// Each block reads a number of every block of its cluster, and leaves one in the next one's
/// memory.
LIMBECK_KERNEL cluster_kernel(int* out) {
  LIMBECK_SHARED(int, mine, [32]);
  LIMBECK_SHARED(int, inbox, [32]);
  const int t = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  const unsigned rank = gpu::cluster_rank(), size = gpu::cluster_size();
  mine[t] = 100 * block + t;
  gpu::sync_cluster();
  int sum = 0;
  for (unsigned r = 0; r < size; ++r) sum += gpu::map_shared(&mine[0], r)[31 - t];
  gpu::map_shared(&inbox[t], (rank + 1) % size)[0] = block;
  gpu::sync_cluster();
  int* row = out + 4 * (32 * block + t);
  row[0] = static_cast<int>(rank);
  row[1] = static_cast<int>(size);
  row[2] = sum;
  row[3] = inbox[t];
}

void expect_clusters(int size) {
  const int blocks = 16;
  Tensor out = Tensor::full({4 * 32 * blocks}, -1, DType::i32, Device::cuda());
  gpu::Launch launch{"cluster", blocks, 32};
  launch.cluster = static_cast<unsigned>(size);
  gpu::launch(launch, cluster_kernel, out.data<int>());
  const std::vector<int> v = out.to_vector<int>();
  for (int block = 0; block < blocks; ++block)
    for (int t = 0; t < 32; ++t) {
      const int rank = block % size, first = block - rank;
      int sum = 0;
      for (int b = first; b < first + size; ++b) sum += 100 * b + 31 - t;
      const int expected[] = {rank, size, sum, first + (rank + size - 1) % size};
      for (int i = 0; i < 4; ++i)
        EXPECT_EQ(v[static_cast<std::size_t>(4 * (32 * block + t) + i)], expected[i])
            << "item " << i << " of block " << block << " thread " << t;
    }
}

TEST_F(ConformanceTest, ABlockIsAClusterOfOne) { expect_clusters(1); }

TEST_F(ConformanceTest, ClustersShareMemory) {
  if (older_than(90)) {
    testing::expect_error<CudaError>([] { expect_clusters(2); }, "need compute capability 9.0");
    GTEST_SKIP() << "clusters need sm_90; the launch was refused";
  }
  for (int size : {2, 4, 8}) expect_clusters(size);
  if (gpu::max_clusters({"cluster", 16, 32, 0, 16}, cluster_kernel) > 0) expect_clusters(16);
}

/// Every round adds up what all blocks wrote in the one before.
LIMBECK_KERNEL grid_kernel(int* values, int rounds) {
  const unsigned n = gridDim.x;
  for (int round = 0; round < rounds; ++round) {
    int sum = 0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += values[i];
    for (int offset = kWarp / 2; offset > 0; offset /= 2) sum += gpu::shuffle_xor(sum, offset);
    gpu::sync_grid();
    if (threadIdx.x == 0) values[blockIdx.x] = sum % 1000 + static_cast<int>(blockIdx.x);
    gpu::sync_grid();
  }
}

TEST_F(ConformanceTest, GridsMeet) {
  gpu::Launch launch{"grid", 1, 32};
  launch.cooperative = true;
  launch.grid = std::min(gpu::max_grid(launch, grid_kernel), 300u);
  const std::size_t blocks = launch.grid.x;
  std::vector<int> expected(blocks, 1);
  Tensor values = ints(static_cast<std::int64_t>(blocks), 1);
  gpu::launch(launch, grid_kernel, values.data<int>(), 5);
  for (int round = 0; round < 5; ++round) {
    int sum = 0;
    for (int v : expected) sum += v;
    for (std::size_t i = 0; i < blocks; ++i) expected[i] = sum % 1000 + static_cast<int>(i);
  }
  EXPECT_EQ(values.to_vector<int>(), expected);
}

}  // namespace
}  // namespace limbeck

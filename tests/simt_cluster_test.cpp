// SPDX-License-Identifier: Apache-2.0
// Clusters and cooperative grids on the emulated GPU: what they refuse, under every schedule. What
// they compute stands in conformance_test.cu.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include <limbeck/core/gpu_grid.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/simt/launch_now.h>
#include <limbeck/tests/simt/model.h>
#include <limbeck/tests/simt/sanitizer.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

using testing::expect_error;
using testing::launch_now;

/// Which of the two barriers around an access to another block's memory is left out.
enum class Without { nothing, first, last };

/// Odd ranks read from the rank before.
template <Without without>
LIMBECK_KERNEL neighbour_kernel(int* out) {
  LIMBECK_SHARED(int, mine, [32]);
  mine[threadIdx.x] = static_cast<int>(blockIdx.x);
  if constexpr (without != Without::first) gpu::sync_cluster();
  const unsigned rank = gpu::cluster_rank();
  if (rank % 2 == 1)
    out[32 * blockIdx.x + threadIdx.x] = gpu::map_shared(&mine[0], rank - 1)[threadIdx.x];
  if constexpr (without != Without::last) gpu::sync_cluster();
}

/// Without a barrier after it is read, the second message may overtake the first.
LIMBECK_KERNEL two_rounds_kernel(int* out, bool barrier) {
  LIMBECK_SHARED(int, inbox, [1]);
  gpu::sync_cluster();
  const unsigned rank = gpu::cluster_rank(), size = gpu::cluster_size();
  for (int round = 0; round < 2; ++round) {
    if (threadIdx.x == 0)
      *gpu::map_shared(&inbox[0], (rank + 1) % size) = static_cast<int>(blockIdx.x) + 10 * round;
    gpu::sync_cluster();
    out[(round * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x] = inbox[0];
    if (barrier) gpu::sync_cluster();
  }
  gpu::sync_cluster();
}

LIMBECK_KERNEL rank_kernel(unsigned rank) {
  LIMBECK_SHARED(int, mine, [1]);
  gpu::sync_cluster();
  gpu::map_shared(&mine[0], rank);
  gpu::sync_cluster();
}

LIMBECK_KERNEL map_global_kernel(int* out) { gpu::map_shared(out, 0); }

LIMBECK_KERNEL one_block_leaves_kernel() {
  if (blockIdx.x == 1) return;
  gpu::sync_cluster();
}

LIMBECK_KERNEL two_lines_kernel() {
  if (gpu::cluster_rank() == 0)
    gpu::sync_cluster();
  else
    gpu::sync_cluster();
}

/// Block 1 uses an address in block 0 beyond the barrier that lets block 0 go, which it does first
/// under schedule 0.
LIMBECK_KERNEL kept_address_kernel(float* out) {
  LIMBECK_SHARED(float, mine, [32]);
  mine[threadIdx.x] = 1;
  gpu::sync_cluster();
  const float* theirs = gpu::map_shared(&mine[0], 0);
  gpu::sync_cluster();
  if (gpu::cluster_rank() == 0) return;
  out[0] = *theirs;
}

LIMBECK_KERNEL sync_grid_kernel(int* out, int leaving) {
  if (static_cast<int>(blockIdx.x) == leaving) return;
  gpu::sync_grid();
  out[0] = 1;
}

class SimtClusterTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override {
    launch(8, 4, neighbour_kernel<Without::nothing>, out());  // a failure leaves nothing behind
    simt::set_schedule(0);
  }
  static void launch(unsigned blocks, unsigned cluster, auto kernel, auto... args) {
    launch_now({.name = "clusters", .grid = blocks, .block = 32, .cluster = cluster}, kernel,
               args...);
  }
  static void refuses(const std::string& part, auto... args) {
    expect_error<CudaError>([&] { launch(args...); }, part);
  }
  int* out() { return out_.data<int>(); }

  Tensor out_ = Tensor::zeros({8 * 32}, DType::i32, Device::cuda());
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtClusterTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtClusterTest, SizeDividesTheGrid) {
  refuses("clusters of 3 blocks in a grid 8 wide; expected 1 to 16, a divisor", 8u, 3u,
          two_lines_kernel);
  refuses("clusters of 32 blocks in a grid 32 wide", 32u, 32u, two_lines_kernel);
  refuses("clusters of 0 blocks", 8u, 0u, two_lines_kernel);
}

TEST_P(SimtClusterTest, BlocksMeetBeforeAndAfterTheySeeEachOther) {
  refuses("map_shared before the first sync_cluster", 8u, 4u, neighbour_kernel<Without::first>,
          out());
  refuses("no sync_cluster follows the last use of its shared memory", 8u, 2u,
          neighbour_kernel<Without::last>, out());
}

TEST_P(SimtClusterTest, OnlySharedMemoryOfTheClusterIsMapped) {
  refuses("rank 4 of a cluster of 4", 8u, 4u, rank_kernel, 4u);
  refuses("is not in the block's shared memory", 8u, 1u, map_global_kernel, out());
}

TEST_P(SimtClusterTest, AllThreadsMeet) {
  refuses("exited", 8u, 2u, one_block_leaves_kernel);
  refuses("divergent barrier", 8u, 2u, two_lines_kernel);
}

TEST(SimtClusterScheduleTest, AMissingBarrierBetweenRoundsShows) {
  const auto wrong = [](bool barrier) {
    int count = 0;
    for (int s = 0; s < simt::kSchedules; ++s) {
      simt::set_schedule(s);
      Tensor out = Tensor::zeros({2 * 4 * 64}, DType::i32, Device::cuda());
      launch_now({.name = "two_rounds", .grid = 4, .block = 64, .cluster = 4}, two_rounds_kernel,
                 out.data<int>(), barrier);
      const std::vector<int> v = out.to_vector<int>();
      bool right = true;
      for (std::size_t i = 0; i < v.size(); ++i)
        right &= v[i] == static_cast<int>((i / 64 + 3) % 4 + i / 256 * 10);
      count += !right;
    }
    simt::set_schedule(0);
    return count;
  };
  EXPECT_EQ(wrong(true), 0);
  EXPECT_GT(wrong(false), 0);
}

TEST(SimtClusterModelTest, OlderGpusKnowNone) {
  simt::set_model(89);
  expect_error<CudaError>(
      [] { launch_now({.name = "old", .grid = 2, .block = 32, .cluster = 2}, rank_kernel, 0u); },
      "kernel 'old': clusters of 2 blocks need compute capability 9.0");
  simt::set_model(90);
}

TEST(SimtClusterScheduleTest, AnAddressDiesWithItsBlock) {
  Tensor out = Tensor::zeros({1}, DType::f32, Device::cuda());
  const auto run = [&] {
    launch_now({.name = "kept", .grid = 2, .block = 32, .cluster = 2}, kept_address_kernel,
               out.data<float>());
  };
#ifdef LIMBECK_ASAN
  EXPECT_DEATH(run(), "poison");
#else
  run();
  EXPECT_TRUE(std::isnan(out.item()));
#endif
}

TEST_P(SimtClusterTest, GridsMeetInCooperativeLaunchesOnly) {
  const auto launch = [&](unsigned blocks, unsigned threads, bool cooperative, int leaving) {
    launch_now({.name = "grid", .grid = blocks, .block = threads, .cooperative = cooperative},
               sync_grid_kernel, out(), leaving);
  };
  EXPECT_EQ(gpu::max_grid({"grid", 1, 1024}, sync_grid_kernel), 16u);
  EXPECT_EQ(gpu::max_grid({"grid", 1, 1024, 200000}, sync_grid_kernel), 8u);
  EXPECT_EQ(
      gpu::max_grid({.name = "grid", .grid = 6, .block = 1024, .cluster = 6}, sync_grid_kernel),
      12u);
  launch(64, 32, true, -1);
  launch(16, 1024, true, -1);
  expect_error<CudaError>([&] { launch(64, 32, false, -1); }, "sync_grid in an ordinary launch");
  expect_error<CudaError>([&] { launch(17, 1024, true, -1); },
                          "a cooperative launch of 17 blocks; expected at most 16");
  expect_error<CudaError>([&] { launch(64, 32, true, 5); }, "exited");
}

}  // namespace
}  // namespace limbeck

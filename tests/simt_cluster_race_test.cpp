// SPDX-License-Identifier: Apache-2.0
// The race checker on clusters and cooperative grids: what their barriers order, and what they do
// not.
#include <gtest/gtest.h>

#include <string>

#include <limbeck/core/gpu_grid.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/simt/launch_now.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

using testing::expect_error;
using testing::launch_now;

LIMBECK_KERNEL rounds_kernel(int* out, bool barrier) {
  LIMBECK_SHARED(int, inbox, [32]);
  gpu::sync_cluster();
  const unsigned next = (gpu::cluster_rank() + 1) % gpu::cluster_size();
  for (int round = 0; round < 2; ++round) {
    gpu::map_shared(&inbox[0], next)[threadIdx.x] = round;
    gpu::sync_cluster();
    out[32 * blockIdx.x + threadIdx.x] = inbox[31 - threadIdx.x];
    if (barrier) gpu::sync_cluster();
  }
  gpu::sync_cluster();
}

/// Rank 0 reads what its neighbour wrote before (ordered) or after (not) the barrier, or never.
enum class Written { before, after, never };

template <Written written>
LIMBECK_KERNEL read_kernel(int* out) {
  LIMBECK_SHARED(int, mine, [1]);
  gpu::sync_cluster();
  if (written == Written::before && threadIdx.x == 5) mine[0] = 1;
  gpu::sync_cluster();
  if (written == Written::after && threadIdx.x == 5) mine[0] = 1;
  gpu::sync_block();  // orders nothing between blocks
  if (gpu::cluster_rank() == 0 && threadIdx.x == 0) out[blockIdx.x] = *gpu::map_shared(&mine[0], 1);
  gpu::sync_cluster();
}

LIMBECK_KERNEL kept_address_kernel(int* out) {
  LIMBECK_SHARED(int, mine, [1]);
  if (threadIdx.x == 0) mine[0] = 1;
  gpu::sync_cluster();
  const int* theirs = gpu::map_shared(&mine[0], 0);
  gpu::sync_cluster();
  if (gpu::cluster_rank() == 0) return;
  if (threadIdx.x == 0) out[0] = *theirs;
}

enum class Barrier { none, block, cluster, grid };

/// Each block reads what the block `distance` further on wrote.
template <Barrier barrier>
LIMBECK_KERNEL global_kernel(int* values, int* out, unsigned distance) {
  if (threadIdx.x == 3) values[blockIdx.x] = 1;
  if constexpr (barrier == Barrier::block) gpu::sync_block();
  if constexpr (barrier == Barrier::cluster) gpu::sync_cluster();
  if constexpr (barrier == Barrier::grid) gpu::sync_grid();
  if (threadIdx.x == 4) out[blockIdx.x] = values[blockIdx.x ^ distance];
}

class SimtClusterRaceTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }

  static void launch(auto kernel, auto... args) {
    launch_now({.name = "race", .grid = 8, .block = 32, .cluster = 4, .cooperative = true}, kernel,
               args...);
  }
  static void refuses(const std::string& part, auto... args) {
    expect_error<CudaError>([&] { launch(args...); }, part);
  }
  int* out() { return out_.data<int>(); }
  int* values() { return values_.data<int>(); }

  Tensor out_ = Tensor::zeros({8 * 32}, DType::i32, Device::cuda());
  Tensor values_ = Tensor::zeros({8}, DType::i32, Device::cuda());
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtClusterRaceTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtClusterRaceTest, ClusterBarriersOrderSharedMemory) {
  launch(rounds_kernel, out(), true);
  refuses("of shared 'inbox'; thread ", rounds_kernel, out(), false);
  launch(read_kernel<Written::before>, out());
  // Found when the block that comes second does so: as a race, or as a read of nothing.
  refuses("of shared 'mine'", read_kernel<Written::after>, out());
  refuses("of shared 'mine', which no thread of the block has written", read_kernel<Written::never>,
          out());
}

TEST_P(SimtClusterRaceTest, BarriersOrderGlobalMemoryOfThoseWhoMeet) {
  launch(global_kernel<Barrier::cluster>, values(), out(), 1u);
  launch(global_kernel<Barrier::grid>, values(), out(), 1u);
  launch(global_kernel<Barrier::grid>, values(), out(), 4u);
  refuses("of device memory of 32 bytes", global_kernel<Barrier::none>, values(), out(), 1u);
  refuses("of device memory of 32 bytes", global_kernel<Barrier::block>, values(), out(), 1u);
  refuses("of device memory of 32 bytes", global_kernel<Barrier::cluster>, values(), out(), 4u);
}

TEST(SimtClusterRaceScheduleTest, AnAddressDiesWithItsBlock) {
  Tensor out = Tensor::zeros({1}, DType::i32, Device::cuda());
  expect_error<CudaError>(
      [&] {
        launch_now({.name = "kept", .grid = 2, .block = 32, .cluster = 2}, kept_address_kernel,
                   out.data<int>());
      },
      "neither device memory nor its own");
}

}  // namespace
}  // namespace limbeck

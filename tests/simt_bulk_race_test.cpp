// SPDX-License-Identifier: Apache-2.0
// The race checker on bulk copies: what a pipeline leaves out is found in one run, under any
// schedule.
#include <gtest/gtest.h>

#include <string>

#include <limbeck/core/gpu.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/simt/launch_now.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

using testing::expect_error;
using testing::launch_now;

constexpr int kRounds = 5, kThreads = 64;
constexpr unsigned kBytes = kThreads * sizeof(int);

enum class Without { nothing, init_barrier, wait, wait_of_others, barrier_before_reuse, fence };

/// Reads each round's values, which thread 0 copies for all.
template <Without without>
LIMBECK_KERNEL pipeline_kernel(int* out, const int* in) {
  LIMBECK_SHARED_ALIGNED(16, int, stage, [2][kThreads]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [2]);
  const int t = static_cast<int>(threadIdx.x);
  if (t == 0)
    for (gpu::CopyBarrier& barrier : ready) gpu::init_barrier(barrier, 1);
  if constexpr (without != Without::init_barrier) gpu::sync_block();
  const auto start = [&](int round) {
    if (t != 0 || round >= kRounds) return;
    gpu::arrive_expecting(ready[round % 2], kBytes);
    gpu::copy_bulk(stage[round % 2], in + round * kThreads, kBytes, ready[round % 2]);
  };
  start(0);
  start(1);
  for (int round = 0; round < kRounds; ++round) {
    if (without != Without::wait && (without != Without::wait_of_others || t == 0))
      gpu::wait_barrier(ready[round % 2], static_cast<unsigned>(round) / 2 % 2);
    out[t] = stage[round % 2][kThreads - 1 - t];
    if constexpr (without != Without::fence) gpu::fence_copies();
    if constexpr (without != Without::barrier_before_reuse) gpu::sync_block();
    start(round + 2);
  }
}

/// Thread 1 writes what thread 0 copies, before or after it has waited for the copy.
LIMBECK_KERNEL source_kernel(int* in, bool wait) {
  LIMBECK_SHARED_ALIGNED(16, int, stage, [4]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [1]);
  if (threadIdx.x == 0) gpu::init_barrier(ready[0], 1);
  gpu::sync_block();
  if (threadIdx.x == 0) {
    gpu::arrive_expecting(ready[0], 16);
    gpu::copy_bulk(stage, in, 16, ready[0]);
    gpu::wait_barrier(ready[0], 0);
  }
  if (threadIdx.x != 1) return;
  if (wait) gpu::wait_barrier(ready[0], 0);
  in[0] = 1;
}

class SimtBulkRaceTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }

  template <Without without>
  void run_pipeline() {
    launch_now({"pipeline", 1, kThreads}, pipeline_kernel<without>, out_.data<int>(),
               in_.data<int>());
  }
  template <Without without>
  void refuses(const std::string& part) {
    expect_error<CudaError>([&] { run_pipeline<without>(); }, part);
  }
  Tensor in_ = Tensor::zeros({kRounds * kThreads}, DType::i32, Device::cuda());
  Tensor out_ = Tensor::zeros({kThreads}, DType::i32, Device::cuda());
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtBulkRaceTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtBulkRaceTest, APipelineNeedsAllOfItsParts) {
  run_pipeline<Without::nothing>();
  refuses<Without::init_barrier>("of shared 'ready'");
  refuses<Without::wait>("of shared 'stage'");
  refuses<Without::wait_of_others>("of shared 'stage'");
  refuses<Without::barrier_before_reuse>("kernel 'pipeline': ");  // a race, or too many phases on
  refuses<Without::fence>("has not called fence_copies since");
}

TEST_P(SimtBulkRaceTest, TheSourceIsReadUntilTheEnd) {
  const auto run = [&](bool wait) {
    launch_now({"source", 1, 32}, source_kernel, in_.data<int>(), wait);
  };
  run(true);
  expect_error<CudaError>([&] { run(false); }, "nothing orders the two: a race");
}

}  // namespace
}  // namespace limbeck

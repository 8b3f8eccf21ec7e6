// SPDX-License-Identifier: Apache-2.0
// The race checker on asynchronous copies and matrix loads: whatever touches a copy's target before
// its end is found in one run, under any schedule.
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

constexpr int kThreads = 64;

/// What a pipeline of two stages leaves out.
enum class Without { nothing, commit, wait, barrier_after_wait, barrier_before_reuse };

template <Without without>
LIMBECK_KERNEL pipeline_kernel(int* out, const int* in) {
  LIMBECK_SHARED(int, stage, [2][kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  const auto start = [&](int round) {
    if (round < 3) gpu::copy_async<4>(&stage[round % 2][t], in + round * kThreads + t);
    if constexpr (without != Without::commit) gpu::commit_copies();
  };
  start(0);
  for (int round = 0; round < 3; ++round) {
    start(round + 1);
    if constexpr (without != Without::wait) gpu::wait_copies<1>();
    if constexpr (without != Without::barrier_after_wait) gpu::sync_block();
    out[t] = stage[round % 2][kThreads - 1 - t];
    if constexpr (without != Without::barrier_before_reuse) gpu::sync_block();
  }
}

/// One thread alone; which of the two it does while its copy is under way.
LIMBECK_KERNEL meddling_kernel(const int* in, bool write, bool copy_again) {
  LIMBECK_SHARED(int, stage, [1]);
  gpu::copy_async<4>(stage, in);
  gpu::commit_copies();
  if (write) stage[0] = 1;
  if (copy_again) gpu::copy_async<4>(stage, in + 1);
  gpu::wait_copies<0>();
  stage[0] = 2;
}

/// Thread 1 writes what thread 0 copies, before or after the copy ended.
LIMBECK_KERNEL source_kernel(int* in, bool before_end) {
  LIMBECK_SHARED(int, stage, [1]);
  if (threadIdx.x == 0) gpu::copy_async<4>(stage, in);
  gpu::commit_copies();
  gpu::sync_block();
  if (before_end && threadIdx.x == 1) in[0] = 1;
  gpu::wait_copies<0>();
  gpu::sync_block();
  if (threadIdx.x == 1) in[0] = 2;
}

LIMBECK_KERNEL load_kernel(int rows, bool barrier) {
  LIMBECK_SHARED_ALIGNED(16, unsigned, tile, [32][4]);
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < rows)
    for (unsigned& word : tile[lane]) word = 0;
  if (barrier) gpu::sync_warp();
  gpu::load_matrices(tile[31 - lane]);
}

class SimtAsyncRaceTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }

  template <Without without>
  void run_pipeline() {
    launch_now({"pipeline", 1, kThreads}, pipeline_kernel<without>, out_.data<int>(),
               in_.data<int>());
  }
  Tensor in_ = Tensor::zeros({3 * kThreads}, DType::i32, Device::cuda());
  Tensor out_ = Tensor::zeros({kThreads}, DType::i32, Device::cuda());
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtAsyncRaceTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtAsyncRaceTest, APipelineNeedsAllOfItsParts) {
  run_pipeline<Without::nothing>();
  const std::string under_way = "is still under way";
  expect_error<CudaError>([&] { run_pipeline<Without::commit>(); }, under_way);
  expect_error<CudaError>([&] { run_pipeline<Without::wait>(); }, under_way);
  expect_error<CudaError>([&] { run_pipeline<Without::barrier_after_wait>(); },
                          "of shared 'stage'");
  expect_error<CudaError>([&] { run_pipeline<Without::barrier_before_reuse>(); },
                          "of shared 'stage'");
}

TEST_P(SimtAsyncRaceTest, NotEvenItsThreadTouchesATarget) {
  const auto run = [&](bool write, bool copy_again) {
    launch_now({"meddling", 1, 1}, meddling_kernel, in_.data<int>(), write, copy_again);
  };
  run(false, false);
  expect_error<CudaError>([&] { run(true, false); },
                          ": writes byte 0 of shared 'stage', where the copy of thread 0 at "
                          "simt_async_race_test.cpp:");
  expect_error<CudaError>([&] { run(false, true); }, ": copies to byte 0 of shared 'stage', where");
}

TEST_P(SimtAsyncRaceTest, TheSourceIsReadUntilTheEnd) {
  const auto run = [&](bool before_end) {
    launch_now({"source", 1, 32}, source_kernel, in_.data<int>(), before_end);
  };
  run(false);
  expect_error<CudaError>([&] { run(true); }, "a race");
}

TEST_P(SimtAsyncRaceTest, MatrixLoadsAreReads) {
  launch_now({"load", 1, 32}, load_kernel, 32, true);
  expect_error<CudaError>(
      [&] {
        launch_now({"load", 1, 32}, load_kernel, 31, true);
      },
      "of shared 'tile', which no thread of the block has written");
  expect_error<CudaError>(
      [&] {
        launch_now({"load", 1, 32}, load_kernel, 32, false);
      },
      "of shared 'tile'");
}

}  // namespace
}  // namespace limbeck

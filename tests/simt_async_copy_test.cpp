// SPDX-License-Identifier: Apache-2.0
// copy_async on the emulated GPU: copies arrive early or late, so what a kernel forgot shows.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <limbeck/core/gpu.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/simt/launch_now.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

using testing::expect_error;
using testing::launch_now;

constexpr int kRounds = 6, kThreads = 64;

/// What a pipeline of two stages leaves out.
enum class Without {
  nothing,
  commit,
  wait,
  newest_but_one,  // waits for one group too few
  barrier_after_wait,
  barrier_before_reuse
};

/// Thread t copies element (round, t), and passes on what thread 63 - t copied.
template <Without without>
LIMBECK_KERNEL pipeline_kernel(int* out, const int* in) {
  LIMBECK_SHARED(int, stage, [2][kThreads]);
  const int t = static_cast<int>(threadIdx.x);
  const auto start = [&](int round) {
    if (round < kRounds) gpu::copy_async<4>(&stage[round % 2][t], in + round * kThreads + t);
    if constexpr (without != Without::commit) gpu::commit_copies();
  };
  start(0);
  for (int round = 0; round < kRounds; ++round) {
    start(round + 1);
    if constexpr (without != Without::wait)
      gpu::wait_copies<without == Without::newest_but_one ? 2 : 1>();
    if constexpr (without != Without::barrier_after_wait) gpu::sync_block();
    out[round * kThreads + t] = stage[round % 2][kThreads - 1 - t];
    if constexpr (without != Without::barrier_before_reuse) gpu::sync_block();
  }
}

LIMBECK_KERNEL early_source_kernel(int* out, int* in) {
  LIMBECK_SHARED(int, stage, [1]);
  gpu::copy_async<4>(stage, in);
  gpu::commit_copies();
  in[0] = 2;
  gpu::wait_copies<0>();
  out[0] = stage[0];
}

template <int kBytes>
LIMBECK_KERNEL copy_kernel(const char* in, int to, int from, int valid) {
  LIMBECK_SHARED_ALIGNED(16, char, stage, [72]);
  gpu::copy_async<kBytes>(stage + to, in + from, valid);
}

LIMBECK_KERNEL copy_to_global_kernel(char* out, const char* in) { gpu::copy_async<16>(out, in); }

Tensor zeros(std::int64_t n) { return Tensor::zeros({n}, DType::i32, Device::cuda()); }

class SimtAsyncCopyTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtAsyncCopyTest, ::testing::Range(0, simt::kSchedules));

template <Without without>
bool pipeline_is_right() {
  std::vector<int> values(kRounds * kThreads);
  std::iota(values.begin(), values.end(), 1);
  const Tensor in = Tensor::from(values, {kRounds * kThreads}, Device::cuda());
  Tensor out = zeros(kRounds * kThreads);
  launch_now({"pipeline", 1, kThreads}, pipeline_kernel<without>, out.data<int>(), in.data<int>());
  for (int round = 0; round < kRounds; ++round)
    std::reverse(values.begin() + round * kThreads, values.begin() + (round + 1) * kThreads);
  return out.to_vector<int>() == values;
}

/// In how many of the schedules something is wrong.
template <Without without>
int wrong_schedules() {
  int wrong = 0;
  for (int s = 0; s < simt::kSchedules; ++s) {
    simt::set_schedule(s);
    wrong += !pipeline_is_right<without>();
  }
  simt::set_schedule(0);
  return wrong;
}

TEST(SimtAsyncCopySchedulesTest, EveryOmissionShows) {
  EXPECT_EQ(wrong_schedules<Without::nothing>(), 0);
  EXPECT_GE(wrong_schedules<Without::wait>(), 4);
  EXPECT_GE(wrong_schedules<Without::newest_but_one>(), 4);
  EXPECT_GE(wrong_schedules<Without::commit>(), 4);
  EXPECT_GE(wrong_schedules<Without::barrier_after_wait>(), 2);
  EXPECT_GE(wrong_schedules<Without::barrier_before_reuse>(), 2);
}

TEST(SimtAsyncCopySchedulesTest, CopiesArriveEarlyAndLate) {
  int early = 0, late = 0;
  for (int s = 0; s < simt::kSchedules; ++s) {
    simt::set_schedule(s);
    Tensor in = Tensor::full({1}, 1, DType::i32, Device::cuda()), out = zeros(1);
    launch_now({"early_source", 1, 1}, early_source_kernel, out.data<int>(), in.data<int>());
    (out.item() == 1 ? early : late) += 1;
  }
  simt::set_schedule(0);
  EXPECT_GT(early, 0);
  EXPECT_GT(late, 0);
}

TEST_P(SimtAsyncCopyTest, AddressesAndSizesAreChecked) {
  const Tensor in = Tensor::zeros({64}, DType::u8, Device::cuda());
  const char* p = static_cast<const char*>(in.raw());
  const auto copy = [&](auto kernel, const char* from, int to, int offset, int valid) {
    launch_now({"copy", 1, 1}, kernel, from, to, offset, valid);
  };
  const auto refuses = [&](const std::string& part, auto... args) {
    expect_error<CudaError>([&] { copy(args...); }, part);
  };
  copy(copy_kernel<16>, p, 48, 48, 16);
  copy(copy_kernel<16>, p, 0, 4096, 0);  // reads nothing
  copy(copy_kernel<8>, p, 8, 56, 8);
  copy(copy_kernel<16>, p + 48, 0, 0, 5);
  refuses("is not 16-byte aligned", copy_kernel<16>, p, 8, 0, 16);
  refuses("is not 16-byte aligned", copy_kernel<16>, p, 0, 8, 16);
  refuses("is not 4-byte aligned", copy_kernel<4>, p, 2, 0, 4);
  refuses("17 valid bytes; expected 0 to 16", copy_kernel<16>, p, 0, 0, 17);
  refuses("-1 valid bytes; expected 0 to 8", copy_kernel<8>, p, 0, 0, -1);
  refuses("is not in the block's shared memory", copy_kernel<16>, p, 80, 0, 16);
  refuses("16 bytes at byte 64 of shared 'stage', which has 72", copy_kernel<16>, p, 64, 0, 16);
  refuses("are not in one device allocation", copy_kernel<16>, p, 0, 64, 1);
  alignas(16) static const char host[16] = {};
  refuses("are not in one device allocation", copy_kernel<16>, host, 0, 0, 16);
}

TEST_P(SimtAsyncCopyTest, TheTargetIsShared) {
  Tensor t = Tensor::zeros({64}, DType::u8, Device::cuda());
  char* p = static_cast<char*>(t.raw());
  expect_error<CudaError>(
      [&] {
        launch_now({"bad", 1, 1}, copy_to_global_kernel, p, p + 16);
      },
      "thread (0,0,0) at simt_async_copy_test.cpp:");
}

}  // namespace
}  // namespace limbeck

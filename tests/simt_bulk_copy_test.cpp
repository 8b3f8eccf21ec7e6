// SPDX-License-Identifier: Apache-2.0
// copy_bulk on the emulated GPU: bytes arrive early or late, and a phase that cannot end is told.
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
constexpr unsigned kBytes = kThreads * sizeof(int);

/// What a pipeline of two stages leaves out.
enum class Without { nothing, wait, parity, barrier_before_reuse };

/// Thread 0 copies for all; a stage is filled again two rounds later.
template <Without without>
LIMBECK_KERNEL pipeline_kernel(int* out, const int* in) {
  LIMBECK_SHARED_ALIGNED(16, int, stage, [2][kThreads]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [2]);
  const int t = static_cast<int>(threadIdx.x);
  if (t < 2) gpu::init_barrier(ready[t], 1);
  gpu::sync_block();
  const auto start = [&](int round) {
    if (t != 0 || round >= kRounds) return;
    gpu::arrive_expecting(ready[round % 2], kBytes);
    gpu::copy_bulk(stage[round % 2], in + round * kThreads, kBytes, ready[round % 2]);
  };
  start(0);
  start(1);
  for (int round = 0; round < kRounds; ++round) {
    const unsigned parity = without == Without::parity ? 0 : static_cast<unsigned>(round) / 2 % 2;
    if (without != Without::wait || t == 0) gpu::wait_barrier(ready[round % 2], parity);
    out[round * kThreads + t] = stage[round % 2][kThreads - 1 - t];
    gpu::fence_copies();
    if constexpr (without != Without::barrier_before_reuse) gpu::sync_block();
    start(round + 2);
  }
}

/// One thread copies `bytes` bytes in two parts, and waits.
LIMBECK_KERNEL copy_kernel(const char* in, int to, int from, unsigned bytes, unsigned expected,
                           bool arrive_last, bool wait) {
  LIMBECK_SHARED_ALIGNED(16, char, stage, [72]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [1]);
  gpu::init_barrier(ready[0], 1);
  if (!arrive_last) gpu::arrive_expecting(ready[0], expected);
  gpu::copy_bulk(stage + to, in + from, 16, ready[0]);
  gpu::copy_bulk(stage + to + 16, in + from + 16, bytes - 16, ready[0]);
  if (arrive_last) gpu::arrive_expecting(ready[0], expected);
  if (wait) gpu::wait_barrier(ready[0], 0);
}

/// All threads arrive, each with its own part of the bytes; `absent` threads do not.
LIMBECK_KERNEL many_arrivals_kernel(int* out, const int* in, int absent) {
  LIMBECK_SHARED_ALIGNED(16, int, stage, [kThreads][4]);
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [1]);
  const int t = static_cast<int>(threadIdx.x);
  if (t == 0) gpu::init_barrier(ready[0], kThreads);
  gpu::sync_block();
  if (t >= absent) {
    gpu::copy_bulk(stage[t], in + 4 * t, 16, ready[0]);
    gpu::arrive_expecting(ready[0], 16);
  }
  gpu::wait_barrier(ready[0], 0);
  for (int i = 0; i < 4; ++i) out[4 * t + i] = stage[kThreads - 1 - t][i];
}

enum class Misuse { no_init, init_twice, no_arrivals, parity, arrive_twice, global };

LIMBECK_KERNEL misuse_kernel(int* out, Misuse what) {
  LIMBECK_SHARED(gpu::CopyBarrier, ready, [1]);
  if (what == Misuse::global) gpu::init_barrier(*reinterpret_cast<gpu::CopyBarrier*>(out), 1);
  if (what != Misuse::no_init) gpu::init_barrier(ready[0], what != Misuse::no_arrivals);
  if (what == Misuse::init_twice) gpu::init_barrier(ready[0], 1);
  gpu::arrive_expecting(ready[0], 0);
  if (what == Misuse::arrive_twice) gpu::arrive_expecting(ready[0], 0);
  gpu::wait_barrier(ready[0], what == Misuse::parity ? 2 : 0);
}

Tensor zeros(std::int64_t n) { return Tensor::zeros({n}, DType::i32, Device::cuda()); }

class SimtBulkCopyTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }

  void copy(unsigned bytes, unsigned expected, bool arrive_last = false, bool wait = true,
            int to = 0, int from = 0) const {
    launch_now({"copy", 1, 1}, copy_kernel, static_cast<const char*>(in_.raw()), to, from, bytes,
               expected, arrive_last, wait);
  }
  void refuses(const std::string& part, auto... args) const {
    expect_error<CudaError>([&] { copy(args...); }, part);
  }
  Tensor in_ = Tensor::zeros({64}, DType::u8, Device::cuda());
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtBulkCopyTest, ::testing::Range(0, simt::kSchedules));

template <Without without>
bool pipeline_is_right() {
  std::vector<int> values(kRounds * kThreads);
  std::iota(values.begin(), values.end(), 1);
  const Tensor in = Tensor::from(values, {kRounds * kThreads}, Device::cuda());
  Tensor out = zeros(kRounds * kThreads);
  try {
    launch_now({"pipeline", 1, kThreads}, pipeline_kernel<without>, out.data<int>(),
               in.data<int>());
  } catch (const CudaError&) {
    return false;
  }
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

TEST(SimtBulkCopySchedulesTest, EveryOmissionShows) {
  EXPECT_EQ(wrong_schedules<Without::nothing>(), 0);
  EXPECT_GE(wrong_schedules<Without::wait>(), 4);
  EXPECT_GE(wrong_schedules<Without::parity>(), 4);
  EXPECT_GE(wrong_schedules<Without::barrier_before_reuse>(), 2);
}

TEST_P(SimtBulkCopyTest, BytesAreCountedExactly) {
  copy(32, 32);
  copy(64, 64, true);
  refuses("block (0,0,0) thread (0,0,0) at simt_bulk_copy_test.cpp:", 32u, 16u);
  refuses("copy_bulk: copies of 32 bytes in a phase that expects 16", 32u, 16u);
  refuses("arrive_expecting: copies of 64 bytes in a phase that expects 48", 64u, 48u, true);
  refuses("deadlock, no thread can run:\n  1 thread(s) wait in wait_barrier at simt_bulk_copy", 32u,
          48u);
  refuses("the barrier at byte 0 of shared 'ready' of block (0,0,0) lacks 0 arrival(s); 32 of 48",
          32u, 48u);
  refuses("1048576 bytes in a phase; expected at most 1048575", 32u, 1u << 20);
  refuses("the block ends, but nobody has waited for the copy_bulk at simt_bulk_copy_test.cpp:",
          32u, 32u, false, false);
}

TEST_P(SimtBulkCopyTest, AddressesAndSizesAreChecked) {
  refuses("copy_bulk: 8 bytes; expected a multiple of 16", 24u, 24u);
  refuses("copy_bulk: 0 bytes", 16u, 16u);
  refuses("is not 16-byte aligned", 32u, 32u, false, true, 8, 0);
  refuses("is not 16-byte aligned", 32u, 32u, false, true, 0, 4);
  refuses("64 bytes at byte 16 of shared 'stage', which has 72", 80u, 80u);
  refuses("32 bytes at ", 48u, 48u, false, true, 0, 32);
  refuses("is not in the block's shared memory", 32u, 32u, false, true, 80, 0);
}

TEST_P(SimtBulkCopyTest, APhaseNeedsAllItsArrivals) {
  std::vector<int> values(4 * kThreads);
  std::iota(values.begin(), values.end(), 1);
  const Tensor in = Tensor::from(values, {4 * kThreads}, Device::cuda());
  Tensor out = zeros(4 * kThreads);
  const auto run = [&](int absent) {
    launch_now({"arrivals", 1, kThreads}, many_arrivals_kernel, out.data<int>(), in.data<int>(),
               absent);
  };
  run(0);
  const std::vector<int> actual = out.to_vector<int>();
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(actual[i], values[4 * (kThreads - 1 - i / 4) + i % 4]);
  expect_error<CudaError>([&] { run(3); }, "lacks 3 arrival(s); 976 of 976 bytes expected");
}

TEST_P(SimtBulkCopyTest, BarriersAreUsedAsTheyShould) {
  Tensor out = zeros(4);
  const auto misused = [&](Misuse what, const std::string& part) {
    expect_error<CudaError>(
        [&] {
          launch_now({"misuse", 1, 1}, misuse_kernel, out.data<int>(), what);
        },
        part);
  };
  misused(Misuse::no_init, "arrive_expecting: no init_barrier made");
  misused(Misuse::init_twice, "is a barrier already");
  misused(Misuse::no_arrivals, "0 arrivals; expected at least 1");
  misused(Misuse::parity, "parity 2; expected 0 or 1");
  misused(Misuse::arrive_twice, "all 1 arrival(s) of a phase have come that nobody has waited for");
  misused(Misuse::global, "is not in the block's shared memory");
}

}  // namespace
}  // namespace limbeck

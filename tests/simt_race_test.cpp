// SPDX-License-Identifier: Apache-2.0
// The race checker finds each kind of unordered access in one run, names both lines, and accepts
// every kind of ordered one.
#include <gtest/gtest.h>

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

/// Each thread writes its own element and reads its neighbour's; `how` orders the two.
enum class How { nothing, barrier, warp, ballot };

template <How how>
LIMBECK_KERNEL neighbour_kernel(int* out) {
  LIMBECK_SHARED(int, tile, [64]);
  tile[threadIdx.x] = static_cast<int>(threadIdx.x);
  if constexpr (how == How::barrier) gpu::sync_block();
  if constexpr (how == How::warp) gpu::sync_warp();
  if constexpr (how == How::ballot) gpu::ballot(true);
  out[threadIdx.x] = tile[threadIdx.x ^ 1];
}

LIMBECK_KERNEL write_after_read_kernel(int* out, bool barrier) {
  LIMBECK_SHARED(int, tile, [64]);
  tile[threadIdx.x] = 1;
  gpu::sync_block();
  out[threadIdx.x] = tile[63 - threadIdx.x];
  if (barrier) gpu::sync_block();
  tile[threadIdx.x] = 2;
}

template <class T>
LIMBECK_KERNEL neighbours_of_one_word_kernel(T* out) {
  out[threadIdx.x] = T(1);
}

LIMBECK_KERNEL same_element_kernel(int* out) {
  if (threadIdx.x == 0) out[0] += 1;
}

LIMBECK_KERNEL unwritten_kernel(int* out) {
  LIMBECK_SHARED(int, tile, [64]);
  if (threadIdx.x < 63) tile[threadIdx.x] = 1;
  gpu::sync_block();
  out[threadIdx.x] = tile[threadIdx.x];
}

/// The block that counts last sums what all blocks wrote.
template <bool fence>
LIMBECK_KERNEL last_block_kernel(int* partial, unsigned* count, int* out) {
  LIMBECK_SHARED(bool, last, [1]);
  if (threadIdx.x == 0) partial[blockIdx.x] = static_cast<int>(blockIdx.x);
  if constexpr (fence) gpu::thread_fence();
  gpu::sync_block();
  if (threadIdx.x == 0) last[0] = gpu::atomic_add(count, 1u) == gridDim.x - 1;
  gpu::sync_block();
  if (!last[0]) return;
  if (threadIdx.x == 0) {
    out[0] = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) out[0] += partial[i];
  }
}

LIMBECK_KERNEL follow_kernel(const int* p, int* out) { *out = p[threadIdx.x]; }

LIMBECK_KERNEL copy16_kernel(char* to, const char* from, int step) {
  gpu::store16(to + step * static_cast<int>(threadIdx.x), gpu::load16(from + 16 * threadIdx.x));
}

Tensor zeros(std::int64_t n) { return Tensor::zeros({n}, DType::i32, Device::cuda()); }

class SimtRaceTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }
  Tensor out_ = zeros(64);
  int* out() { return out_.data<int>(); }
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtRaceTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtRaceTest, BarriersAndWarpSyncsOrder) {
  launch_now({"good", 1, 64}, neighbour_kernel<How::barrier>, out());
  launch_now({"good", 1, 64}, neighbour_kernel<How::warp>, out());
  launch_now({"good", 1, 64}, write_after_read_kernel, out(), true);
}

TEST_P(SimtRaceTest, NothingElseOrdersABlock) {
  for (auto* kernel : {neighbour_kernel<How::nothing>, neighbour_kernel<How::ballot>})
    expect_error<CudaError>([&] { launch_now({"bad", 1, 64}, kernel, out()); }, "of shared 'tile'");
  expect_error<CudaError>(
      [&] {
        launch_now({"bad", 1, 64}, write_after_read_kernel, out(), false);
      },
      "of shared 'tile'; thread ");
}

TEST_P(SimtRaceTest, BothLinesAreNamed) {
  try {
    launch_now({"bad", 1, 64}, write_after_read_kernel, out(), false);
    FAIL() << "no race was seen";
  } catch (const CudaError& e) {
    const std::string text = e.what();
    const std::size_t first = text.find("simt_race_test.cpp:");
    ASSERT_NE(first, std::string::npos) << text;
    EXPECT_NE(text.find("simt_race_test.cpp:", first + 1), std::string::npos) << text;
  }
}

TEST_P(SimtRaceTest, SmallNeighboursDoNotCollide) {
  Tensor bytes = Tensor::zeros({64}, DType::u8, Device::cuda());
  Tensor halves = Tensor::zeros({64}, DType::bf16, Device::cuda());
  launch_now({"good", 1, 64}, neighbours_of_one_word_kernel<std::uint8_t>,
             bytes.data<std::uint8_t>());
  launch_now({"good", 1, 64}, neighbours_of_one_word_kernel<BFloat16>, halves.data<BFloat16>());
}

TEST_P(SimtRaceTest, BlocksAreNotOrdered) {
  launch_now({"good", 1, 64}, same_element_kernel, out());
  expect_error<CudaError>(
      [&] {
        launch_now({"bad", 2, 64}, same_element_kernel, out());
      },
      "byte 0 of device memory of 256 bytes");
}

TEST_P(SimtRaceTest, FenceAndAtomicOrderBlocks) {
  Tensor partial = zeros(9), count = zeros(1);
  const auto run = [&](auto kernel) {
    count.fill(0);
    launch_now({"last_block", 9, 64}, kernel, partial.data<int>(),
               reinterpret_cast<unsigned*>(count.data<int>()), out());
  };
  run(last_block_kernel<true>);
  EXPECT_EQ(out_.to_vector<int>()[0], 36);  // 0 + 1 + ... + 8
  expect_error<CudaError>([&] { run(last_block_kernel<false>); }, "a race");
}

TEST_P(SimtRaceTest, SharedMemoryIsWrittenBeforeItIsRead) {
  expect_error<CudaError>(
      [&] {
        launch_now({"bad", 2, 64}, unwritten_kernel, out());
      },
      "of shared 'tile', which no thread of the block has written");
}

TEST_P(SimtRaceTest, KernelsOnlyTouchDeviceMemory) {
  const std::vector<int> host(64);
  const auto follow = [&](const int* p) { launch_now({"bad", 1, 1}, follow_kernel, p, out()); };
  follow(out());
  expect_error<CudaError>([&] { follow(host.data()); }, "neither device memory nor its own");
  expect_error<CudaError>([&] { follow(out() + 64); }, "neither device memory nor its own");
}

TEST_P(SimtRaceTest, WideAccessesAreOneAccess) {
  Tensor from = zeros(64), to = zeros(64);
  const auto run = [&](int step) {
    launch_now({"copy16", 1, 4}, copy16_kernel, static_cast<char*>(to.raw()),
               static_cast<const char*>(from.raw()), step);
  };
  run(16);
  expect_error<CudaError>([&] { run(0); }, "a race");
}

}  // namespace
}  // namespace limbeck

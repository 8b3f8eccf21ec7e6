// SPDX-License-Identifier: Apache-2.0
// The emulated GPU against CUDA's documented semantics: what it computes, and what it refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include <limbeck/core/gpu.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

Tensor device_ints(std::int64_t n, int value = -1) {
  return Tensor::full({n}, value, DType::i32, Device::cuda());
}

LIMBECK_KERNEL global_index_kernel(int* out, int n) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < static_cast<unsigned>(n)) out[i] = static_cast<int>(i);
}

LIMBECK_KERNEL coordinates_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      static_cast<int>(100000 * blockIdx.z + 10000 * blockIdx.y + 1000 * blockIdx.x +
                       100 * threadIdx.z + 10 * threadIdx.y + threadIdx.x);
}

LIMBECK_KERNEL reverse_kernel(int* out) {
  LIMBECK_SHARED(int, tile, [100]);
  tile[threadIdx.x] = out[threadIdx.x];
  gpu::sync_block();
  out[threadIdx.x] = tile[99 - threadIdx.x];
}

// Two sums one after the other through the same partials: wrong under some schedule if either
// barrier went missing.
LIMBECK_KERNEL two_sums_kernel(int* out, bool second_barrier) {
  LIMBECK_DYNAMIC_SHARED(int, partial);
  for (int round = 0; round < 2; ++round) {
    int sum = static_cast<int>(threadIdx.x) * (round + 1);
    for (int offset = 16; offset > 0; offset /= 2) sum += gpu::shuffle_xor(sum, offset);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = sum;
    gpu::sync_block();
    int total = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) total += partial[w];
    out[round * static_cast<int>(blockDim.x) + static_cast<int>(threadIdx.x)] = total;
    if (second_barrier) gpu::sync_block();
  }
}

LIMBECK_KERNEL shuffles_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  out[lane] = gpu::shuffle(lane, 7);
  out[32 + lane] = gpu::shuffle_xor(lane, 5);
  out[64 + lane] = gpu::shuffle_down(lane, 4);
  out[96 + lane] = static_cast<int>(gpu::ballot(lane % 3 == 0));
  out[128 + lane] = gpu::shuffle(lane, 32 + 9);  // taken modulo 32
  if (lane < 16) out[160 + lane] = gpu::shuffle_xor(lane, 1, 0xffffu);
}

LIMBECK_KERNEL shuffle_double_kernel(double* out) {
  out[threadIdx.x] = gpu::shuffle(1.5 * threadIdx.x, 3);
}

LIMBECK_KERNEL count_kernel(unsigned* counter, int* order) {
  order[gpu::atomic_add(counter, 1u)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

LIMBECK_KERNEL copy16_kernel(char* to, const char* from) {
  gpu::store16(to + 16 * threadIdx.x, gpu::load16(from + 16 * threadIdx.x));
}

LIMBECK_KERNEL unwritten_kernel(float* out) {
  LIMBECK_SHARED(float, tile, [4]);
  if (blockIdx.x == 0) tile[threadIdx.x] = 1;
  gpu::sync_block();
  out[blockIdx.x * 4 + threadIdx.x] = tile[threadIdx.x];
}

class SimtTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtTest, EveryThreadRunsOnce) {
  Tensor out = device_ints(1000);
  gpu::launch({"global_index", 8, 128}, global_index_kernel, out.data<int>(), 1000);
  std::vector<int> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(out.to_vector<int>(), expected);
}

TEST_P(SimtTest, CoordinatesRunXFirst) {
  Tensor out = device_ints(2 * 3 * 2 * 4 * 2 * 3);
  gpu::launch({"coordinates", dim3(2, 3, 2), dim3(4, 2, 3)}, coordinates_kernel, out.data<int>());
  const std::vector<int> v = out.to_vector<int>();
  EXPECT_EQ(v[0], 0);
  EXPECT_EQ(v[1], 1);                 // thread (1,0,0)
  EXPECT_EQ(v[4], 10);                // thread (0,1,0)
  EXPECT_EQ(v[8], 100);               // thread (0,0,1)
  EXPECT_EQ(v[24], 1000);             // block (1,0,0)
  EXPECT_EQ(v[2 * 24], 10000);        // block (0,1,0)
  EXPECT_EQ(v[6 * 24], 100000);       // block (0,0,1)
  EXPECT_EQ(v[12 * 24 - 1], 121213);  // the last of all: block (1,2,1), thread (3,1,2)
}

TEST_P(SimtTest, BarrierMakesSharedWritesVisible) {
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  Tensor out = Tensor::from(values, {100}, Device::cuda());
  gpu::launch({"reverse", 1, 100}, reverse_kernel, out.data<int>());
  EXPECT_EQ(out.to_vector<int>(), std::vector<int>(values.rbegin(), values.rend()));
}

TEST_P(SimtTest, WarpFunctions) {
  Tensor out = device_ints(192);
  gpu::launch({"shuffles", 1, 32}, shuffles_kernel, out.data<int>());
  const std::vector<int> v = out.to_vector<int>();
  for (int lane = 0; lane < 32; ++lane) {
    const auto at = [&](int row) { return v[static_cast<std::size_t>(32 * row + lane)]; };
    EXPECT_EQ(at(0), 7);
    EXPECT_EQ(at(1), lane ^ 5);
    EXPECT_EQ(at(2), lane < 28 ? lane + 4 : lane);
    EXPECT_EQ(static_cast<unsigned>(at(3)), 0x49249249u);  // bits 0, 3, 6 .. 30
    EXPECT_EQ(at(4), 9);
    EXPECT_EQ(at(5), lane < 16 ? lane ^ 1 : -1);
  }
}

TEST_P(SimtTest, ShufflesEightBytes) {
  Tensor out = Tensor::zeros({32}, DType::f64, Device::cuda());
  gpu::launch({"shuffle_double", 1, 32}, shuffle_double_kernel, out.data<double>());
  EXPECT_EQ(out.to_vector<double>(), std::vector<double>(32, 4.5));
}

TEST_P(SimtTest, AtomicsCountEveryThreadOnce) {
  Tensor counter = device_ints(1, 0), order = device_ints(640);
  gpu::launch({"count", 5, 128}, count_kernel, reinterpret_cast<unsigned*>(counter.data<int>()),
              order.data<int>());
  EXPECT_EQ(counter.item(), 640);
  std::vector<int> v = order.to_vector<int>();
  std::sort(v.begin(), v.end());
  for (int i = 0; i < 640; ++i) EXPECT_EQ(v[static_cast<std::size_t>(i)], i);
}

TEST_P(SimtTest, BarriersInRoundsGiveTheSums) {
  Tensor out = device_ints(512);
  gpu::launch({"two_sums", 1, 256, 8 * sizeof(int)}, two_sums_kernel, out.data<int>(), true);
  const std::vector<int> v = out.to_vector<int>();
  // 0 + ... + 255 = 32640
  for (std::size_t i = 0; i < 256; ++i) EXPECT_EQ(v[i], 32640);
  for (std::size_t i = 256; i < 512; ++i) EXPECT_EQ(v[i], 65280);
}

TEST_P(SimtTest, SixteenBytesMoveAtOnce) {
  std::vector<int> values(128);
  std::iota(values.begin(), values.end(), 0);
  const Tensor from = Tensor::from(values, {128}, Device::cuda());
  Tensor to = device_ints(128);
  gpu::launch({"copy16", 1, 32}, copy16_kernel, static_cast<char*>(to.raw()),
              static_cast<const char*>(from.raw()));
  EXPECT_EQ(to.to_vector<int>(), values);
}

TEST_P(SimtTest, SharedMemoryStartsAsNaNInEveryBlock) {
  Tensor out = Tensor::zeros({8}, DType::f32, Device::cuda());
  gpu::launch({"unwritten", 2, 4}, unwritten_kernel, out.data<float>());
  const std::vector<float> v = out.to_vector<float>();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(v[i], 1);
  for (std::size_t i = 4; i < 8; ++i) EXPECT_TRUE(std::isnan(v[i]));
}

TEST(SimtScheduleTest, NewestFirstShowsAMissingBarrierAfterARead) {
  bool wrong = false;
  for (int s = 0; s < simt::kSchedules; ++s) {
    simt::set_schedule(s);
    Tensor out = device_ints(512);
    gpu::launch({"two_sums", 1, 256, 8 * sizeof(int)}, two_sums_kernel, out.data<int>(), false);
    for (std::size_t i = 0; i < 256; ++i) wrong |= out.to_vector<int>()[i] != 32640;
  }
  simt::set_schedule(0);
  EXPECT_TRUE(wrong);
}

TEST(SimtScheduleTest, TheSameNumberIsTheSameOrder) {
  for (int s = 0; s < simt::kSchedules; ++s) {
    std::vector<int> orders[2];
    for (auto& v : orders) {
      simt::set_schedule(s);
      Tensor counter = device_ints(1, 0), order = device_ints(640);
      gpu::launch({"count", 5, 128}, count_kernel, reinterpret_cast<unsigned*>(counter.data<int>()),
                  order.data<int>());
      v = order.to_vector<int>();
    }
    EXPECT_EQ(orders[0], orders[1]) << "schedule " << s;
  }
  simt::set_schedule(0);
}

}  // namespace
}  // namespace limbeck

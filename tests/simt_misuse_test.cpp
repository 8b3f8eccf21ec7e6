// SPDX-License-Identifier: Apache-2.0
// The emulated GPU refuses what CUDA forbids, whatever the schedule, and says who did it where.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <limbeck/core/backend.h>
#include <limbeck/core/gpu.h>
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

LIMBECK_KERNEL good_kernel(int* out) {
  gpu::sync_block();
  out[threadIdx.x] = 1;
}

LIMBECK_KERNEL divergent_barrier_kernel() {
  if (threadIdx.x < 32)  // NOLINT(bugprone-branch-clone)
    gpu::sync_block();
  else
    gpu::sync_block();
}

LIMBECK_KERNEL early_return_kernel() {
  if (threadIdx.x == 40) return;
  gpu::sync_block();
}

LIMBECK_KERNEL not_in_mask_kernel() { gpu::sync_warp(0xffff); }

LIMBECK_KERNEL exited_lane_kernel() {
  if (threadIdx.x == 9) return;
  gpu::ballot(true);
}

LIMBECK_KERNEL full_mask_kernel() { gpu::ballot(true); }

LIMBECK_KERNEL outside_source_kernel() {
  if (threadIdx.x < 16) gpu::shuffle(1, 20, 0xffff);
}

LIMBECK_KERNEL divergent_warp_kernel() {
  if (threadIdx.x % 2 == 0)
    gpu::ballot(true);
  else
    gpu::sync_warp();
}

LIMBECK_KERNEL circle_kernel() {  // lane 0 waits for 1, 1 for 2, 2 for 0
  if (threadIdx.x < 3) gpu::sync_warp(1u << threadIdx.x | 1u << (threadIdx.x + 1) % 3);
}

LIMBECK_KERNEL misaligned_kernel(char* p) { gpu::store16(p, gpu::load16(p + 8)); }

LIMBECK_KERNEL no_dynamic_kernel() {
  LIMBECK_DYNAMIC_SHARED(int, values);
  values[0] = 1;
}

template <int kFloats>
LIMBECK_KERNEL shared_kernel() {
  LIMBECK_SHARED(float, first, [kFloats / 2]);
  LIMBECK_SHARED(float, second, [kFloats - kFloats / 2]);
  first[0] = second[0] = 1;
}

LIMBECK_KERNEL write_kernel(char* p, std::int64_t i) { p[i] = 0; }

LIMBECK_KERNEL fill_shared_kernel(int n) {
  LIMBECK_SHARED(int, tile, [64]);
  int* p = tile;  // not an array, whose bounds UBSan knows
  for (int i = 0; i < n; ++i) p[i] = i;
}

class SimtMisuseTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override {
    Tensor out = Tensor::zeros({64}, DType::i32, Device::cuda());
    launch_now({"good", 1, 64}, good_kernel, out.data<int>());  // a failure leaves nothing behind
    EXPECT_EQ(out.to_vector<int>(), std::vector<int>(64, 1));
    simt::set_schedule(0);
  }
  template <class... Params, class... Args>
  void expect_fault(const std::string& part, void (*kernel)(Params...), Args... args) {
    expect_error<CudaError>([&] { launch_now({"bad", 2, 64}, kernel, args...); }, part);
  }
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtMisuseTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtMisuseTest, Barriers) {
  expect_fault("divergent barrier", divergent_barrier_kernel);
  expect_fault("simt_misuse_test.cpp:", early_return_kernel);
  expect_fault("exited", early_return_kernel);
}

TEST_P(SimtMisuseTest, Masks) {
  expect_fault("sync_warp(mask 0xffff) does not name the calling lane", not_in_mask_kernel);
  expect_fault("exited", exited_lane_kernel);
  expect_fault("shuffle reads lane 20, which is not in mask 0xffff", outside_source_kernel);
  expect_error<CudaError>(
      [] {
        launch_now({"bad", 1, 40}, full_mask_kernel);
      },
      "ballot(mask 0xffffffff) names lanes 0xffffff00");
}

TEST_P(SimtMisuseTest, Divergence) {
  expect_fault("divergent warp function", divergent_warp_kernel);
  expect_fault("deadlock", circle_kernel);
  expect_fault("thread(s) wait in sync_warp(mask 0x5)", circle_kernel);
}

TEST_P(SimtMisuseTest, Memory) {
  Tensor t = Tensor::zeros({64}, DType::u8, Device::cuda());
  expect_fault("not 16-byte aligned", misaligned_kernel, static_cast<char*>(t.raw()));
  expect_fault("the launch asked for none", no_dynamic_kernel);
}

TEST_P(SimtMisuseTest, MessageNamesKernelBlockThreadAndLine) {
  expect_error<CudaError>(
      [] {
        launch_now({"bad", 1, 1}, full_mask_kernel);
      },
      "kernel 'bad': block (0,0,0) thread (0,0,0) at simt_misuse_test.cpp:");
}

TEST(SimtLaunchTest, RejectsWhatCudaRejects) {
  const auto launch = [](dim3 grid, dim3 block, std::size_t shared) {
    expect_error<CudaError>(
        [&] {
          launch_now({"bad", grid, block, shared}, full_mask_kernel);
        },
        "kernel 'bad': grid (");
  };
  launch(0, 32, 0);
  launch(1, 0, 0);
  launch(1, 1025, 0);
  launch(1, dim3(1, 1, 65), 0);
  launch(dim3(1, 65536), 32, 0);
  launch(1, 32, 300000);
}

// 48 KiB of static shared memory everywhere; with the dynamic one what the GPU has for a block.
TEST(SimtLaunchTest, SharedMemoryIsAsScarceAsTheModelsIs) {
  constexpr int kMost = 12 * 1024;
  const auto launch = [](auto* kernel, std::size_t dynamic) {
    launch_now({"shared", 1, 32, dynamic}, kernel);
  };
  launch(shared_kernel<kMost>, 0);
  launch(shared_kernel<kMost>, (227 - 48) * 1024);
  expect_error<CudaError>([&] { launch(shared_kernel<kMost + 1>, 0); },
                          "49156 bytes of static and 0 of dynamic shared memory; expected at most "
                          "49152 static, and 232448 in all");
  expect_error<CudaError>([&] { launch(shared_kernel<kMost>, (227 - 48) * 1024 + 1); },
                          "49152 bytes of static and 183297 of dynamic");
  for (const auto& [capability, kilobytes] :
       {std::pair<int, std::size_t>{75, 64}, {80, 163}, {86, 99}, {120, 99}}) {
    simt::set_model(capability);
    EXPECT_EQ(gpu::compute_capability(), capability);
    launch(shared_kernel<kMost>, (kilobytes - 48) * 1024);
    expect_error<CudaError>(
        [&, dynamic = (kilobytes - 47) * 1024] { launch(shared_kernel<kMost>, dynamic); },
        "in all");
    expect_error<CudaError>(
        [&, dynamic = kilobytes * 1024 + 1] { launch(shared_kernel<2>, dynamic); },
        "expected at least one block of 1 to 1024 threads and at most");
  }
  simt::set_model(90);
  expect_error<CudaError>([] { simt::set_model(42); }, "compute capability 42; expected 75, 80");
}

TEST(SimtMemoryTest, CopiesCheckBothEnds) {
  Tensor t = Tensor::zeros({16}, DType::u8, Device::cuda());
  char host[64] = {};
  expect_error<CudaError>([&] { backend::copy_to_device(0, host, t.raw(), 16); },
                          "are not in one device allocation");
  expect_error<CudaError>([&] { backend::copy_to_device(0, t.raw(), t.raw(), 16); },
                          "expected host memory");
  expect_error<CudaError>([&] { backend::copy_to_host(0, host, host, 16); },
                          "are not in one device allocation");
  expect_error<CudaError>([&] { backend::fill(0, t.raw(), "", 1, 1 << 20); },
                          "are not in one device allocation");
  expect_error<CudaError>([&] { backend::release(0, host); }, "no live device allocation");
  expect_error<CudaError>([] { backend::select(1); }, "expected cuda:0");
}

TEST(SimtMemoryTest, DeviceFunctionsBelongToKernels) {
  expect_error<CudaError>([] { gpu::sync_block(); }, "called by the host");
}

TEST(SimtMemoryDeathTest, HostCannotTouchDeviceMemory) {
  const Tensor t = Tensor::zeros({16}, DType::u8, Device::cuda());
  EXPECT_DEATH({ [[maybe_unused]] volatile char c = *static_cast<const char*>(t.raw()); }, "");
}

TEST(SimtMemoryTest, SharedMemoryHasItsFullSize) {
  launch_now({"shared", 1, 1}, fill_shared_kernel, 64);
}

#ifdef LIMBECK_ASAN
TEST(SimtMemoryDeathTest, OverrunsAreSeen) {
  Tensor t = Tensor::empty({25}, DType::f32, Device::cuda());
  char* p = static_cast<char*>(t.raw());
  EXPECT_DEATH(launch_now({"write", 1, 1}, write_kernel, p, 100), "poison");
  EXPECT_DEATH(launch_now({"write", 1, 1}, write_kernel, p, -1), "poison");
  EXPECT_DEATH(launch_now({"shared", 1, 1}, fill_shared_kernel, 65), "heap-buffer-overflow");
  t = Tensor();
  EXPECT_DEATH(launch_now({"write", 1, 1}, write_kernel, p, 5), "poison");
}
#else
TEST(SimtMemoryTest, OverrunsAreSeen) {
  Tensor t = Tensor::empty({25}, DType::f32, Device::cuda());
  char* p = static_cast<char*>(t.raw());
  expect_error<CudaError>(
      [&] {
        launch_now({"write", 1, 1}, write_kernel, p, 100);
      },
      "kernel 'write': device memory of 100 bytes was written at byte 100");
}
#endif

}  // namespace
}  // namespace limbeck

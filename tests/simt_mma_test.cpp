// SPDX-License-Identifier: Apache-2.0
// What load_matrices and mma refuse on the emulated GPU, and how they round. What they compute
// stands in conformance_test.cu.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include <limbeck/core/gpu.h>
#include <limbeck/core/tensor.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/simt/launch_now.h>
#include <limbeck/tests/simt/model.h>
#include <limbeck/tests/simt/schedule.h>

namespace limbeck {
namespace {

using testing::expect_error;
using testing::launch_now;

/// Lane `lane` reads its row `offset` bytes further on.
LIMBECK_KERNEL load_kernel(int lane, int offset) {
  LIMBECK_SHARED_ALIGNED(16, char, tile, [512]);
  const int l = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 16; ++i) tile[16 * l + i] = 0;
  gpu::sync_block();
  gpu::load_matrices(&tile[0] + 16 * l + (l == lane ? offset : 0));
}

LIMBECK_KERNEL load_global_kernel(const char* p) { gpu::load_matrices(p); }

LIMBECK_KERNEL divergent_kernel() {
  LIMBECK_SHARED_ALIGNED(16, char, tile, [16]);
  if (threadIdx.x < 16)
    gpu::load_matrices(tile);
  else
    gpu::load_matrices_transposed(tile);
}

/// Every element of A is `a`, of B `b`, of C `c`.
template <class T>
LIMBECK_KERNEL constant_kernel(float* out, float a, float b, float c) {
  const auto twice = [](float x) {
    const std::uint32_t bits = T(x).bits;
    return bits | bits << 16;
  };
  gpu::FragmentA fa;
  gpu::FragmentB fb;
  gpu::FragmentC fc;
  for (std::uint32_t& pair : fa.pair) pair = twice(a);
  for (std::uint32_t& pair : fb.pair) pair = twice(b);
  for (float& value : fc.value) value = c;
  gpu::mma<T>(fc, fa, fb);
  for (unsigned i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = fc.value[i];
}

class SimtMmaTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { simt::set_schedule(GetParam()); }
  void TearDown() override { simt::set_schedule(0); }

  static void refuses(const std::string& part, auto kernel, unsigned threads, auto... args) {
    expect_error<CudaError>([&] { launch_now({"bad", 1, threads}, kernel, args...); }, part);
  }
  template <class T>
  static float product(float a, float b, float c) {
    Tensor out = Tensor::zeros({128}, DType::f32, Device::cuda());
    launch_now({"constant", 1, 32}, constant_kernel<T>, out.data<float>(), a, b, c);
    const std::vector<float> v = out.to_vector<float>();
    for (float x : v) EXPECT_TRUE(x == v[0] || std::isnan(x));
    return v[0];
  }
};
INSTANTIATE_TEST_SUITE_P(Schedules, SimtMmaTest, ::testing::Range(0, simt::kSchedules));

TEST_P(SimtMmaTest, RowsAreAlignedAndShared) {
  launch_now({"good", 1, 32}, load_kernel, 0, 16);
  refuses("is not 16-byte aligned", load_kernel, 32, 3, 8);
  refuses("is not in the block's shared memory", load_kernel, 32, 31, 16);
  refuses("is not in the block's shared memory", load_kernel, 32, 0, -16);
  const Tensor t = Tensor::zeros({64}, DType::u8, Device::cuda());
  refuses("is not in the block's shared memory", load_global_kernel, 32,
          static_cast<const char*>(t.raw()));
}

TEST_P(SimtMmaTest, TheWholeWarpTakesPart) {
  Tensor out = Tensor::zeros({128}, DType::f32, Device::cuda());
  refuses("mma(mask 0xffffffff) names lanes 0xff000000", constant_kernel<BFloat16>, 24,
          out.data<float>(), 1.f, 1.f, 0.f);
  refuses("divergent warp function", divergent_kernel, 32);
}

TEST_P(SimtMmaTest, OlderGpusHaveNone) {
  Tensor out = Tensor::zeros({128}, DType::f32, Device::cuda());
  simt::set_model(75);
  refuses("mma needs compute capability 8.0", constant_kernel<BFloat16>, 32, out.data<float>(), 1.f,
          1.f, 0.f);
  simt::set_model(90);
}

TEST_P(SimtMmaTest, ElementsAreOfTheirType) {
  EXPECT_EQ(product<BFloat16>(3, 0.5f, -4), 20);
  EXPECT_EQ(product<Float16>(3, 0.5f, -4), 20);
  EXPECT_EQ(product<Float16>(0x1p-24f, 1, 0), 0x1p-20f);         // subnormal in f16
  EXPECT_EQ(product<BFloat16>(0x1p100f, 0x1p20f, 0), 0x1p124f);  // infinite in f16
}

TEST_P(SimtMmaTest, SumsAreRoundedOnceToFloat) {
  EXPECT_EQ(product<BFloat16>(1, 0x1p-24f, 1),
            1 + 0x1p-20f);  // 16 products, each below the last bit
  EXPECT_TRUE(std::isnan(product<Float16>(INFINITY, 0, 0)));
}

}  // namespace
}  // namespace limbeck

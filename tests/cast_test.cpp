// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/cast.h>

#include <limbeck/core/graph.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

/// From and to each floating dtype of the device.
class CastTest : public DeviceTest {
 protected:
  std::vector<DType> others() const {
    std::vector<DType> all = {DType::f32, DType::bf16, DType::f16};
    std::erase(all, dtype());
    return all;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(CastTest);

TEST_P(CastTest, HandNumbers) {
  // 1 + 2^-8 lies between two bf16, 1 + 2^-11 between two f16: ties go to the even one, 1.
  const Tensor x = make({0.5, -3, 1 + 0x1p-8, 1 + 0x1p-11, 65520}, {5});
  const std::vector<double> bf16 = to_doubles(x.to(DType::bf16)),
                            f16 = to_doubles(x.to(DType::f16));
  EXPECT_EQ(bf16[0], 0.5);
  EXPECT_EQ(f16[1], -3);
  EXPECT_EQ(bf16[2], 1);
  EXPECT_EQ(f16[3], 1);
  EXPECT_EQ(f16[4], INFINITY);
}

/// Every 16-bit pattern as a half of that dtype, or as the upper half of an f32 or f64.
Tensor all_patterns(DType dtype) {
  Tensor t = Tensor::empty({65536}, dtype_size(dtype) == 2 ? dtype : DType::bf16);
  for (unsigned i = 0; i < 65536; ++i)
    static_cast<std::uint16_t*>(t.raw())[i] = static_cast<std::uint16_t>(i);
  return t.to(dtype);
}

// NaN, infinities, subnormals and both zeros among them.
TEST_P(CastTest, EveryDeviceGivesTheBitsOfTheHost) {
  const Tensor patterns = all_patterns(dtype());
  Tensor noise = Tensor::from(random_values(5000, 1e-4), {5000}).to(dtype());
  for (const Tensor& x : {patterns, noise})
    for (const DType to : others()) {
      const Tensor y = x.to(device()).to(to);
      EXPECT_EQ(y.device(), device());
      EXPECT_TRUE(same_bytes(y, x.to(to))) << dtype() << " to " << to;
    }
}

TEST_P(CastTest, AnyLengthAndAlignment) {
  for (const std::int64_t n : {1, 7, 8, 9, 2049})
    for (const std::int64_t offset : {0, 1, 3}) {
      const Tensor all = make(random_values(n + offset), {n + offset});
      const Tensor x = all.rows(offset, n + offset);
      for (const DType to : others())
        EXPECT_TRUE(same_bytes(x.to(to), x.to(Device::cpu()).to(to))) << n << " from " << offset;
    }
}

// A captured graph may not wait for the device, as a way by the host would.
TEST_P(CastTest, StaysOnTheDevice) {
  if (!device().is_cuda()) return;
  const Tensor x = make({1, 2, 3}, {3});
  Tensor y;
  const Graph graph(device(), [&] { y = x.to(others()[0]); });
  graph.launch();
  expect_close(y, {1, 2, 3}, 0);
}

TEST_P(CastTest, NothingOfNothing) {
  expect_no_launch();
  for (const DType to : others()) EXPECT_EQ(make_like({0, 3}).to(to).shape(), Shape({0, 3}));
}

TEST_P(CastTest, WholeNumbersGoByTheHost) {
  const Tensor x = Tensor::from(std::vector<std::int32_t>{-3, 0, 7}, {3}, device());
  const Tensor y = x.to(dtype());
  EXPECT_EQ(to_doubles(y), (std::vector<double>{-3, 0, 7}));
  EXPECT_EQ(y.to(DType::i32).to_vector<std::int32_t>(), (std::vector<std::int32_t>{-3, 0, 7}));
  y.to(others()[0]);  // so that a GPU is used
}

// An f64 is rounded to f32 first: 1 + 2^-8 + 2^-30 is a tie by then.
TEST(Cast, F64IsRoundedTwice) {
  const Tensor x = Tensor::from(std::vector<double>{1 + 0x1p-8 + 0x1p-30}, {1});
  EXPECT_EQ(x.to(DType::bf16).item(), 1);
}

TEST(Cast, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor x = Tensor::from(random_values(200001), {200001}).to(DType::f32);
    const Tensor half = x.to(DType::f16), brain = x.to(DType::bf16);
    return std::vector{half, brain, half.to(DType::f32), brain.to(DType::f16)};
  });
}

}  // namespace
}  // namespace limbeck::testing

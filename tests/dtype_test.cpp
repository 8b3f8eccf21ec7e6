// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/dtype.h>

#include <bit>
#include <cmath>
#include <limits>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(DType, NamesAndSizes) {
  const DType all[] = {DType::f32, DType::f64, DType::bf16, DType::f16,
                       DType::i32, DType::i64, DType::u8};
  for (DType dtype : all) {
    EXPECT_EQ(parse_dtype(dtype_name(dtype)), dtype);
    visit_dtype(dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      EXPECT_EQ(dtype_of<T>(), dtype);
      EXPECT_EQ(dtype_size(dtype), sizeof(T));
    });
  }
  EXPECT_EQ(dtype_name(DType::bf16), "bf16");
  EXPECT_TRUE(is_floating(DType::f16));
  EXPECT_FALSE(is_floating(DType::i32));
  expect_error([] { parse_dtype("f8"); }, "f8");
  expect_error([] { visit_floating(DType::u8, [](auto) {}); },
               "dtype u8; expected a floating dtype");
}

// Rounding to nearest even, checked against the neighbours of every representable value.
template <class T>
void check_rounding(std::uint32_t finite_patterns) {
  const auto value = [](std::uint32_t bits) {
    T t;
    t.bits = static_cast<std::uint16_t>(bits);
    return static_cast<float>(t);
  };
  for (std::uint32_t bits = 0; bits + 1 < finite_patterns; ++bits) {
    const float low = value(bits), high = value(bits + 1);
    const float middle = static_cast<float>((static_cast<double>(low) + high) / 2);
    ASSERT_EQ(T(low).bits, bits);
    ASSERT_EQ(T(-low).bits, bits | 0x8000u);
    ASSERT_EQ(T(middle).bits, bits + (bits & 1)) << "ties go to even";
    ASSERT_EQ(T(std::nextafter(middle, low)).bits, bits);
    ASSERT_EQ(T(std::nextafter(middle, high)).bits, bits + 1);
  }
}

TEST(DType, BFloat16RoundsToNearestEven) { check_rounding<BFloat16>(0x7f80); }
TEST(DType, Float16RoundsToNearestEven) { check_rounding<Float16>(0x7c00); }

TEST(DType, HalvesKeepInfinityAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(static_cast<float>(BFloat16(inf)), inf);
  EXPECT_EQ(static_cast<float>(Float16(-inf)), -inf);
  EXPECT_EQ(static_cast<float>(BFloat16(3.4e38f)), inf);
  EXPECT_EQ(static_cast<float>(Float16(65504.0f)), 65504);
  EXPECT_EQ(static_cast<float>(Float16(65520.0f)), inf);
  // A NaN whose payload is in the bits that are cut off.
  const float nan = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(nan))));
  EXPECT_TRUE(std::isnan(static_cast<float>(Float16(nan))));
  BFloat16 assigned;
  assigned = 1.00390625f;  // 1 + 2^-8: a tie
  EXPECT_EQ(static_cast<float>(assigned), 1);
}

}  // namespace
}  // namespace limbeck::testing

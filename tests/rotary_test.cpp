// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rotary.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class RotaryTest : public DeviceTest {
 protected:
  DType wide() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  Tensor table(std::int64_t T, std::int64_t D, const RotaryOptions& options = {}) const {
    return rotary_table(T, D, options, wide(), device());
  }
  Tensor turned(const Tensor& x, const Tensor& angles, std::int64_t heads,
                Rotation rotation = Rotation::forward) const {
    Tensor y = make_like(x.shape());
    rotary(y, x, angles, heads, rotation);
    return y;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(RotaryTest);

TEST_P(RotaryTest, HandNumbers) {
  // theta 4, D = 4: pair 0 (elements 0, 2) turns by 1 a step, pair 1 (1, 3) by 4^(-1/2) = 1/2.
  const double c = std::cos(1.0), s = std::sin(1.0), c2 = std::cos(0.5), s2 = std::sin(0.5);
  const Tensor x = make({1, 2, 3, 4, 1, 2, 3, 4}, {1, 2, 1, 4});
  expect_close(turned(x, table(2, 4, {.theta = 4}), 1),
               {1, 2, 3, 4, c - 3 * s, 2 * c2 - 4 * s2, 3 * c + s, 4 * c2 + 2 * s2}, tolerance());
}

TEST_P(RotaryTest, MatchesComplexProductAndCopiesOtherHeads) {
  // x_d + i x_(d+D/2) times e^(i a), after a cache of 1000 positions: a is right to 1e-7 of a turn.
  const std::int64_t N = 2, T = 3, H = 3, D = 34, half = D / 2;
  const Tensor x = make(random_values(N * T * H * D), {N, T, H, D});
  const std::vector<double> in = to_doubles(x);
  std::vector<double> expected = in;
  for (std::int64_t i = 0; i < N * T * H; ++i)
    for (std::int64_t d = 0; i % H < 2 && d < half; ++d) {
      const double a = static_cast<double>(1000 + i / H % T) *
                       std::exp(-std::log(10000.0) * 2 * static_cast<double>(d) / D);
      const double re = in[i * D + d], im = in[i * D + half + d];
      expected[i * D + d] = re * std::cos(a) - im * std::sin(a);
      expected[i * D + half + d] = im * std::cos(a) + re * std::sin(a);
    }
  expect_close(turned(x, table(T, D, {.offset = 1000}), 2), expected,
               dtype() == DType::f64 ? 1e-11 : tolerance());
}

TEST_P(RotaryTest, InverseTurnsBackAndLengthsStay) {
  const Tensor x = make(random_values(2 * 5 * 2 * 8), {2, 5, 2, 8}), angles = table(5, 8);
  const Tensor y = turned(x, angles, 2);
  expect_close(turned(y, angles, 2, Rotation::inverse), to_doubles(x), 2 * tolerance());
  const auto a = to_doubles(x), b = to_doubles(y);
  for (std::size_t head = 0; head < 20; ++head) {
    double before = 0, after = 0;
    for (std::size_t d = head * 8; d < head * 8 + 8; ++d)
      before += a[d] * a[d], after += b[d] * b[d];
    EXPECT_NEAR(after, before, 4 * tolerance() * before);
  }
}

TEST_P(RotaryTest, MayWriteOverItsInput) {
  Tensor x = make(random_values(5 * 2 * 20), {1, 5, 2, 20});
  const Tensor angles = table(5, 20), y = turned(x, angles, 1);
  rotary(x, x, angles, 1);
  EXPECT_TRUE(same_bytes(x, y));
}

TEST_P(RotaryTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(turned(make({}, {0, 2, 1, 4}), table(2, 4), 1).numel(), 0);
}

TEST(Rotary, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Shape shape{2, 300, 3, 38};
    const Tensor x = Tensor::from(random_values(shape.numel()), shape).to(DType::f32);
    const Tensor angles = rotary_table(300, 38);
    Tensor y = Tensor::empty(shape);
    rotary(y, x, angles, 2);
    return std::vector{angles, y};
  });
}

TEST(Rotary, Rejections) {
  Tensor x = Tensor::zeros({1, 2, 3, 4});
  const Tensor angles = rotary_table(2, 4);
  expect_error([] { rotary_table(2, 3); }, "rotary_table: 2 rows of 3; expected an even width");
  expect_error([] { rotary_table(2, 4, {.theta = 0}); }, "rotary_table: theta 0, offset 0");
  expect_error([] { rotary_table(2, 4, {}, DType::bf16); }, "rotary_table: dtype is bf16");
  Tensor odd = Tensor::zeros({1, 2, 3, 5});
  expect_error([&] { rotary(odd, odd, angles, 3); }, "rotary: x is f32(1,2,3,5); expected");
  expect_error([&] { rotary(odd, x, angles, 3); }, "rotary: y is f32(1,2,3,5)");
  expect_error([&] { rotary(x, x, angles, 4); }, "rotary: 4 heads of 3");
  expect_error([&] { rotary(x, x, rotary_table(3, 4), 3); },
               "rotary: table is f32(3,4) on cpu; expected f32(2,4) on cpu");
}

}  // namespace
}  // namespace limbeck::testing

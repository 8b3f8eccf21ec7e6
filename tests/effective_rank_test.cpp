// SPDX-License-Identifier: Apache-2.0
// Tests of the effective rank of features.
#include <limbeck/distill/effective_rank.h>

#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(EffectiveRank, HandNumbers) {
  // Two samples lie on a line, whatever they are.
  EXPECT_NEAR(effective_rank(Tensor::from<double>({1, 2, 3, 5, 0, 1}, {2, 3})), 1, 1e-12);
  // The corners of a rectangle 3 x 1: sigma 3 and 1, p = 3/4 and 1/4.
  const double entropy = -0.75 * std::log(0.75) - 0.25 * std::log(0.25);
  EXPECT_NEAR(effective_rank(Tensor::from<double>({0, 0, 3, 0, 0, 1, 3, 1}, {4, 2})),
              std::exp(entropy), 1e-12);
  // The corners of a cube: three directions alike.
  std::vector<double> cube;
  for (int corner = 0; corner < 8; ++corner)
    for (int axis = 0; axis < 3; ++axis) cube.push_back(10 + (corner >> axis & 1));
  EXPECT_NEAR(effective_rank(Tensor::from(cube, {8, 3})), 3, 1e-12);
  EXPECT_EQ(effective_rank(Tensor::full({5, 7}, 3.25)), 0);
}

TEST(EffectiveRank, ChangesWithNeitherScaleNorRotation) {
  const Tensor x = Tensor::from(random_values(12 * 4), {12, 4});
  const double rank = effective_rank(x);
  EXPECT_GT(rank, 3);  // of four directions alike but for chance
  EXPECT_LT(rank, 4);
  std::vector<double> scaled = to_doubles(x);
  for (double& v : scaled) v = -7 * v + 2;
  EXPECT_NEAR(effective_rank(Tensor::from(scaled, {12, 4})), rank, 1e-12);
  const double c = 0.6, s = 0.8;  // turns the first two axes, and the last two
  const Tensor turn =
      Tensor::from<double>({c, s, 0, 0, -s, c, 0, 0, 0, 0, s, c, 0, 0, -c, s}, {4, 4});
  Tensor turned = Tensor::empty({12, 4}, DType::f64);
  matmul(turned, x, Trans::no, turn, Trans::no);
  EXPECT_NEAR(effective_rank(turned), rank, 1e-12);
}

// What training watches for: features that leave their directions one by one.
TEST(EffectiveRank, FallsWithACollapse) {
  const std::vector<double> x = random_values(30 * 6);
  double before = 7;
  for (const double left : {1.0, 0.1, 0.01, 0.0}) {
    std::vector<double> y = x;
    for (std::size_t i = 0; i < y.size(); ++i)
      if (i % 6 > 0) y[i] *= left;
    const double rank = effective_rank(Tensor::from(y, {30, 6}));
    EXPECT_LT(rank, before);
    before = rank;
  }
  EXPECT_NEAR(before, 1, 1e-12);
}

TEST(EffectiveRank, RoundingAddsNoDirections) {
  // 40 samples on a line of 300 features, in f32 around a large mean: 1, but for their rounding.
  std::vector<float> x;
  for (int i = 0; i < 40; ++i)
    for (int j = 0; j < 300; ++j) x.push_back(static_cast<float>((i - 20) * (j % 17)));
  EXPECT_NEAR(effective_rank(Tensor::from(x, {40, 300})), 1, 1e-6);
}

TEST(EffectiveRank, OtherDtypesAndDevicesAreTheSameNumber) {
  std::vector<double> values = random_values(10 * 3 * 2, 9);
  for (double& v : values) v = std::round(v);
  const Tensor x = Tensor::from(values, {10, 3, 2});
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    EXPECT_EQ(effective_rank(x.to(dtype)), effective_rank(x)) << dtype_name(dtype);
  if (cuda_device_count() > 0) {
    EXPECT_EQ(effective_rank(x.to(DType::f32).to(Device::cuda())), effective_rank(x));
  }
}

TEST(EffectiveRank, Rejections) {
  expect_error(
      [] {
        effective_rank(Tensor::zeros({1, 3}));
      },
      "linear_gram: features are f32 (1,3); expected floating (n,...) with n >= 2");
  expect_error([] { effective_rank(Tensor::zeros({4, 3}, DType::i32)); }, "features are i32 (4,3)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Statistics of a layer's channels: measured, and moved with a source that is trained too.
#include <limbeck/distill/tap_statistics.h>

#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/lesson.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

// Channels (1, 3, 2, 6) and (0, 0, 4, 4): means 3 and 2, variances 3.5 and 4.
const Tensor kTaps = Tensor::from<float>({1, 0, 3, 0, 2, 4, 6, 4}, {2, 2, 2});

TEST(TapStatistics, AreThePopulationsOfAllRows) {
  const TapStatistics s = TapStatistics::of(kTaps);
  EXPECT_EQ(to_doubles(s.mean), (std::vector<double>{3, 2}));
  EXPECT_EQ(to_doubles(s.variance), (std::vector<double>{3.5, 4}));
}

TEST(TapStatistics, FollowByTheirMomentumInPlace) {
  TapStatistics s = {Tensor::zeros({2}, DType::f32), Tensor::full({2}, 1, DType::f32), 0.25};
  const Tensor mean = s.mean, variance = s.variance;  // whoever shares them sees it
  s.follow(kTaps);
  EXPECT_EQ(to_doubles(mean), (std::vector<double>{0.75, 0.5}));
  EXPECT_EQ(to_doubles(variance), (std::vector<double>{1.625, 1.75}));
  s.momentum = 1;
  s.follow(kTaps);
  EXPECT_EQ(to_doubles(mean), (std::vector<double>{3, 2}));
  s.momentum = 0;
  s.follow(Tensor::zeros({3, 2}));
  EXPECT_EQ(to_doubles(mean), (std::vector<double>{3, 2}));
}

/// Gives the tap as its code.
struct Identity : FeatureLoss {
  Shape code_shape() const override { return {2, 2}; }
  Tensor encode(const Tensor& source) const override { return source; }
  Variable loss(const Variable&, const Tensor&, double) override { return {}; }
  std::string describe() const override { return "identity"; }
};

TEST(CodeOf, StatisticsFollowBeforeTheSourceIsEncoded) {
  FeatureLesson feature;
  feature.loss = std::make_shared<Identity>();
  feature.statistics = std::make_shared<TapStatistics>(
      TapStatistics{Tensor::zeros({2}, DType::f32), Tensor::full({2}, 1, DType::f32), 1});
  EXPECT_TRUE(same_bytes(code_of(feature, kTaps), kTaps));
  EXPECT_EQ(to_doubles(feature.statistics->mean), (std::vector<double>{3, 2}));
}

TEST(TapStatistics, Rejections) {
  expect_error([] { TapStatistics::of(Tensor::zeros({3})); },
               "TapStatistics: taps are f32(3); expected f32(...,C) of one row or more");
  expect_error([] { TapStatistics::of(kTaps, 2); },
               "TapStatistics: momentum is 2; expected 0 to 1");
}

}  // namespace
}  // namespace limbeck::testing

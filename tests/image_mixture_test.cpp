// SPDX-License-Identifier: Apache-2.0
// What mixup and CutMix draw, and what batches become of it.
#include <limbeck/distill/image_mixture.h>

#include <algorithm>

#include <limbeck/distill/image_source.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr std::uint32_t kDrawn = 4000;

std::vector<double> weights_of(double alpha) {
  std::vector<double> weights;
  for (std::uint32_t step = 0; step < kDrawn; ++step)
    weights.push_back(draw_mixture({.mixup = alpha}, 8, 8, 1, step).weight);
  return weights;
}

// Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)). The mean of 4000 has a deviation of at
// most 0.008; the sample variance one of at most 0.003.
TEST(ImageMixture, WeightsHaveTheMomentsOfABetaDistribution) {
  for (const double alpha : {0.1, 0.4, 1.0, 4.0, 50.0}) {
    double sum = 0, squares = 0;
    for (const double w : weights_of(alpha)) {
      EXPECT_TRUE(0 <= w && w <= 1) << w;
      sum += w;
      squares += (w - 0.5) * (w - 0.5);
    }
    EXPECT_NEAR(sum / kDrawn, 0.5, 0.03) << alpha;
    EXPECT_NEAR(squares / kDrawn, 1 / (4 * (2 * alpha + 1)), 0.01) << alpha;
  }
}

// Beta(1,1) is uniform. The largest distance of 4000 draws from its distribution function is above
// 1.95 / sqrt(4000) once in a thousand times (Kolmogorov and Smirnov).
TEST(ImageMixture, WeightsOfAlphaOneAreUniform) {
  std::vector<double> weights = weights_of(1);
  std::sort(weights.begin(), weights.end());
  double distance = 0;
  for (std::size_t i = 0; i < weights.size(); ++i)
    distance = std::max(distance, std::abs(weights[i] - (static_cast<double>(i) + 0.5) / kDrawn));
  EXPECT_LT(distance, 1.95 / std::sqrt(kDrawn));
}

TEST(ImageMixture, MixupTakesTheWholeImage) {
  const ImageMixture m = draw_mixture({.mixup = 1}, 6, 9, 3, 4);
  EXPECT_EQ(m.top, 0);
  EXPECT_EQ(m.left, 0);
  EXPECT_EQ(m.bottom, 6);
  EXPECT_EQ(m.right, 9);
  EXPECT_NE(m.weight, draw_mixture({.mixup = 1}, 6, 9, 3, 5).weight);
  EXPECT_NE(m.weight, draw_mixture({.mixup = 1}, 6, 9, 2, 4).weight);
}

// Windows stay inside, and are as large as the weights ask for but for the edges: of a uniform
// weight a window would cover half of the image on average, at an edge less.
TEST(ImageMixture, CutMixTakesWindows) {
  double covered = 0;
  bool touched[4] = {};
  for (std::uint32_t step = 0; step < kDrawn; ++step) {
    const ImageMixture m = draw_mixture({.cutmix = 1}, 32, 24, 1, step);
    ASSERT_TRUE(0 <= m.top && m.top <= m.bottom && m.bottom <= 32);
    ASSERT_TRUE(0 <= m.left && m.left <= m.right && m.right <= 24);
    ASSERT_EQ(m.weight, 0);
    covered += 1 - m.label_weight(32, 24);
    touched[0] |= m.top == 0;
    touched[1] |= m.left == 0;
    touched[2] |= m.bottom == 32;
    touched[3] |= m.right == 24;
  }
  EXPECT_GT(covered / kDrawn, 0.2);
  EXPECT_LT(covered / kDrawn, 0.5);
  for (const bool edge : touched) EXPECT_TRUE(edge);
}

TEST(ImageMixture, BothTakeTurns) {
  int cuts = 0;
  for (std::uint32_t step = 0; step < 400; ++step)
    cuts += draw_mixture({.mixup = 1, .cutmix = 1}, 8, 8, 1, step).weight == 0;
  EXPECT_NEAR(cuts, 200, 50);  // five deviations
}

TEST(ImageMixture, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<double> drawn;
    for (std::uint32_t step = 0; step < 50; ++step)
      drawn.push_back(draw_mixture({.mixup = 0.3, .cutmix = 2}, 8, 8, 7, step).label_weight(8, 8));
    return std::vector<Tensor>{Tensor::from(drawn, {50})};
  });
}

class MixedBatchTest : public DeviceTest {
 protected:
  /// Four images of 3 x 2 cells that are their numbers, of classes 0 to 3.
  TensorSource source(const MixOptions& mix) const {
    std::vector<std::uint8_t> pixels;
    for (std::uint8_t i = 0; i < 4; ++i) pixels.insert(pixels.end(), 6, i);
    const Tensor images = Tensor::from(pixels, {4, 3, 2, 1}).to(device());
    const Tensor labels = Tensor::from(std::vector<std::int32_t>{0, 1, 2, 3}, {4}).to(device());
    return {images, labels, 4, {.scale = 1}, {.mix = mix}, 5};
  }
  static Batch whole(TensorSource& source, std::uint32_t step) {
    source.begin_epoch({0, 1, 2, 3}, 0);
    return source.fetch(0, 4, step);
  }
};
std::vector<DeviceDtype> f32_devices() {
  std::vector<DeviceDtype> list = all_devices();
  std::erase_if(list, [](const DeviceDtype& target) { return target.dtype != DType::f32; });
  return list;
}
INSTANTIATE_TEST_SUITE_P(Devices, MixedBatchTest, ::testing::ValuesIn(f32_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(MixedBatchTest, WithoutOptionsABatchIsAsItWas) {
  TensorSource plain = source({});
  EXPECT_FALSE(plain.augments());
  const Batch batch = whole(plain, 1);
  EXPECT_FALSE(batch.other_labels.defined());
  EXPECT_EQ(batch.label_weight, 1);
}

// An image's mean is then its share of its own number and the partner's, as the labels say.
TEST_P(MixedBatchTest, LabelsWeighWhatImagesDo) {
  for (const MixOptions& mix : {MixOptions{.mixup = 1}, {.cutmix = 1}}) {
    TensorSource mixing = source(mix);
    EXPECT_TRUE(mixing.augments());
    bool swapped = false;
    for (std::uint32_t step = 0; step < 5; ++step) {
      const Batch batch = whole(mixing, step);
      const std::vector<double> x = to_doubles(batch.x);
      const auto own = batch.labels.to_vector<std::int32_t>();
      const auto other = batch.other_labels.to_vector<std::int32_t>();
      for (std::size_t b = 0; b < 4; ++b) {
        double mean = 0;
        for (std::size_t i = 0; i < 6; ++i) mean += x[6 * b + i] / 6;
        EXPECT_NEAR(mean, batch.label_weight * own[b] + (1 - batch.label_weight) * other[b], 1e-6);
        swapped |= own[b] != other[b];
      }
    }
    EXPECT_TRUE(swapped);
  }
}

TEST_P(MixedBatchTest, PartsOfABatchKeepTheirLabels) {
  TensorSource mixing = source({.mixup = 1});
  const Batch batch = whole(mixing, 2), part = part_of(batch, 1, 3);
  EXPECT_TRUE(same_bytes(part.other_labels, batch.other_labels.rows(1, 3)));
  EXPECT_EQ(part.label_weight, batch.label_weight);
}

TEST_P(MixedBatchTest, AStepCanBeRepeated) {
  TensorSource mixing = source({.mixup = 1, .cutmix = 1});
  const Batch a = whole(mixing, 3), b = whole(mixing, 3);
  EXPECT_TRUE(same_bytes(a.x, b.x));
  EXPECT_TRUE(same_bytes(a.other_labels, b.other_labels));
  EXPECT_EQ(a.label_weight, b.label_weight);
}

TEST_P(MixedBatchTest, Rejections) {
  TensorSource mixing = source({.mixup = 1, .cutmix = -1});
  expect_error([&] { whole(mixing, 0); },
               "draw_mixture: mixup is 1, cutmix -1; expected both >= 0");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/mix_images.h>

#include <algorithm>
#include <map>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class MixImagesTest : public DeviceTest {
 protected:
  Tensor partners(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
  Tensor mixed(const Tensor& x, const std::vector<std::int32_t>& with,
               const ImageMixture& mixture) const {
    Tensor y = make_like(x.shape());
    mix_images(y, x, partners(with), mixture);
    return y;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(MixImagesTest);

// Two images of 2x2 cells; a quarter of the first and three of the second.
TEST_P(MixImagesTest, MixupOfHandNumbers) {
  const Tensor x = make({0, 4, 8, 12, 16, 20, 24, 28}, {2, 2, 2, 1});
  expect_close(mixed(x, {1, 0}, {0.25, 0, 0, 2, 2}), {12, 16, 20, 24, 4, 8, 12, 16}, 0);
}

// Column 1 of row 0 comes from the other image, in both its channels.
TEST_P(MixImagesTest, CutMixOfHandNumbers) {
  const Tensor x = make({0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17}, {2, 2, 2, 2});
  expect_close(mixed(x, {1, 0}, {0, 0, 1, 1, 2}),
               {0, 1, 12, 13, 4, 5, 6, 7, 10, 11, 2, 3, 14, 15, 16, 17}, 0);
}

TEST_P(MixImagesTest, AWeightOfOneAndAnEmptyWindowChangeNothing) {
  const Tensor x = make(random_values(3 * 5 * 4 * 3), {3, 5, 4, 3});
  EXPECT_TRUE(same_bytes(mixed(x, {1, 2, 0}, {1, 0, 0, 5, 4}), x));
  EXPECT_TRUE(same_bytes(mixed(x, {1, 2, 0}, {0, 2, 1, 2, 4}), x));
  EXPECT_TRUE(same_bytes(mixed(x, {1, 2, 0}, {0, 2, 1, 5, 1}), x));
}

// y = weight x + rest x_p, spelt out; a row of more than one block's width.
TEST_P(MixImagesTest, MatchesItsDefinition) {
  const std::int64_t B = 3, H = 4, W = 70, C = 3;
  const std::vector<std::int32_t> with = {2, 0, 2};
  const Tensor x = make(random_values(B * H * W * C), {B, H, W, C});
  const ImageMixture m = {0.3, 1, 11, 3, 64};
  const std::vector<double> values = to_doubles(x);
  std::vector<double> expected = values;
  for (std::int64_t b = 0; b < B; ++b)
    for (std::int64_t h = m.top; h < m.bottom; ++h)
      for (std::int64_t j = m.left * C; j < m.right * C; ++j)
        expected[(b * H + h) * W * C + j] =
            0.3 * values[(b * H + h) * W * C + j] + 0.7 * values[(with[b] * H + h) * W * C + j];
  expect_close(mixed(x, with, m), expected, tolerance());
}

TEST_P(MixImagesTest, TheSameBitsOnEveryDevice) {
  const Shape shape = {4, 3, 5, 3};
  const Tensor x = make(random_values(shape.numel()), shape);
  const ImageMixture m = {0.37, 0, 1, 2, 5};
  Tensor y = Tensor::empty(shape, dtype());
  mix_images(y, x.to(Device::cpu()), partners({3, 2, 0, 1}).to(Device::cpu()), m);
  EXPECT_TRUE(same_bytes(mixed(x, {3, 2, 0, 1}, m), y));
}

TEST_P(MixImagesTest, EmptyBatches) {
  expect_no_launch();
  EXPECT_EQ(mixed(make({}, {0, 2, 2, 1}), {}, {0.5, 0, 0, 2, 2}).numel(), 0);
  Tensor none = partners({});
  random_partners(none, {.seed = 1});
}

TEST_P(MixImagesTest, APartnerOutsideTheBatchThrowsOrIsTheImageItself) {
  const Tensor x = make({1, 2}, {2, 1, 1, 1});
  const auto run = [&] { return mixed(x, {1, 2}, {0, 0, 0, 1, 1}); };
  if (!device().is_cuda())
    return expect_error(run, "mix_images: partner 2 at position 1; expected 0 <= partner < 2");
  expect_close(run(), {2, 2}, 0);
}

class RandomPartnersTest : public MixImagesTest {
 protected:
  std::vector<std::int32_t> drawn(std::int64_t B, const RngStream& stream) const {
    Tensor t = Tensor::full({B}, 777, DType::i32, device());
    random_partners(t, stream);
    return t.to_vector<std::int32_t>();
  }
};
std::vector<DeviceDtype> one_per_device() {
  std::vector<DeviceDtype> params = all_devices();
  std::erase_if(params, [](const DeviceDtype& p) { return p.dtype != DType::f32; });
  return params;
}
INSTANTIATE_TEST_SUITE_P(Devices, RandomPartnersTest, ::testing::ValuesIn(one_per_device()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(RandomPartnersTest, IsAPermutationThatDependsOnTheStream) {
  for (const std::int64_t B : {1, 2, 7, 130}) {
    std::vector<std::int32_t> places = drawn(B, {.seed = 3, .step = 4});
    if (B > 2) {
      EXPECT_NE(places, drawn(B, {.seed = 3, .step = 5}));
    }
    std::sort(places.begin(), places.end());
    for (std::int64_t i = 0; i < B; ++i) EXPECT_EQ(places[static_cast<std::size_t>(i)], i);
  }
}

TEST_P(RandomPartnersTest, OrdersTheWordsOfTheStream) {
  const RngStream stream = {.seed = 9};
  const std::vector<std::int32_t> places = drawn(33, stream);
  for (std::size_t i = 1; i < places.size(); ++i)
    EXPECT_LE(philox_word(stream, static_cast<std::uint64_t>(places[i - 1])),
              philox_word(stream, static_cast<std::uint64_t>(places[i])));
}

// All 6 orders of three places come up, each in a sixth of the draws: of 600, 100 with a deviation
// of 9.
TEST_P(RandomPartnersTest, EveryOrderIsAsLikely) {
  std::map<std::vector<std::int32_t>, int> counts;
  for (std::uint32_t step = 0; step < 600; ++step) ++counts[drawn(3, {.seed = 1, .step = step})];
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [places, count] : counts) EXPECT_NEAR(count, 100, 45);
}

TEST(MixImages, SameBitsForThreadsAndInstructionSets) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const Shape shape = {9, 16, 31, 3};
    const Tensor x = Tensor::from(random_values(shape.numel()), shape).to(dtype);
    expect_same_bits([&] {
      Tensor y = Tensor::empty(shape, dtype), partners = Tensor::empty({9}, DType::i32);
      random_partners(partners, {.seed = 2});
      mix_images(y, x, partners, {0.3, 2, 3, 15, 30});
      return std::vector<Tensor>{y, partners};
    });
  }
}

TEST(MixImages, TheLabelWeighsWhatIsLeftOfTheImage) {
  EXPECT_DOUBLE_EQ((ImageMixture{0.3, 0, 0, 4, 5}.label_weight(4, 5)), 0.3);
  EXPECT_DOUBLE_EQ((ImageMixture{0, 1, 1, 3, 3}.label_weight(4, 5)), 0.8);
  EXPECT_DOUBLE_EQ(ImageMixture{}.label_weight(4, 5), 1);
}

TEST(MixImages, Rejections) {
  const Tensor x = Tensor::zeros({2, 3, 4, 1}), partners = Tensor::zeros({2}, DType::i32);
  const auto refuses = [&](const Tensor& target, const Tensor& with, const ImageMixture& mixture,
                           const char* part) {
    Tensor y = target;
    expect_error([&] { mix_images(y, x, with, mixture); }, part);
  };
  refuses(x, Tensor::zeros({2}), {}, "mix_images: partners are f32(2); expected i32(B)");
  refuses(x, Tensor::zeros({3}, DType::i32), {}, "partners (3); expected x and y (B,H,W,C) of one");
  refuses(Tensor::zeros({2, 3, 4, 2}), partners, {}, "x is f32(2,3,4,1), y f32(2,3,4,2)");
  refuses(x, partners, {1.5, 0, 0, 1, 1}, "mix_images: weight is 1.5; expected 0 to 1");
  refuses(x, partners, {0, 0, 0, 4, 1},
          "the window is rows 0 to 4, columns 0 to 1 of images (2,3,4,1); expected it to be");
  refuses(x, partners, {0, 0, 2, 1, 1}, "columns 2 to 1");
}

}  // namespace
}  // namespace limbeck::testing

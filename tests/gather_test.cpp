// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gather.h>

#include <map>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

const RngStream kStream = {.seed = 5, .step = 1, .layer = 0, .purpose = RngPurpose::augment};

class GatherTest : public DeviceTest {
 protected:
  Tensor indices(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(GatherTest);

TEST_P(GatherTest, TakesRows) {
  const Tensor data = make({1, 2, 3, 4, 5, 6}, {3, 2});
  Tensor y = make_like({4, 2});
  gather_rows(y, data, indices({2, 0, 0, 1}));
  expect_close(y, {5, 6, 1, 2, 1, 2, 3, 4}, 0);
}

TEST_P(GatherTest, TakesRowsOfEverySizeAndDtype) {
  for (std::int64_t width : {0, 1, 31, 33, 1000, 70000})
    for (DType type : {dtype(), DType::u8, DType::i32, DType::i64}) {
      std::vector<double> values = random_values(3 * width, 100);
      for (double& v : values) v = std::floor(std::abs(v));
      const Tensor data = Tensor::from(values, {3, width}).to(type).to(device());
      Tensor y = Tensor::zeros({2, width}, type, device());
      gather_rows(y, data, indices({2, 1}));
      EXPECT_TRUE(same_bytes(y.rows(0, 1), data.rows(2, 3))) << width << " " << type;
      EXPECT_TRUE(same_bytes(y.rows(1, 2), data.rows(1, 2))) << width << " " << type;
    }
  Tensor none = make_like({0, 5});
  gather_rows(none, make_like({3, 5}), indices({}));
}

TEST_P(GatherTest, IndexOutOfRangeThrowsOrGivesZeros) {
  Tensor y = make_like({3, 2});
  const auto gather = [&] { gather_rows(y, make({1, 2, 3, 4}, {2, 2}), indices({1, 2, -1})); };
  if (!device().is_cuda()) return expect_error(gather, "gather_rows: index 2 at position 1");
  gather();
  expect_close(y, {3, 4, 0, 0, 0, 0}, 0);
}

// gather_images makes f32 from u8 or f32, so it has devices but no dtypes.
class GatherImagesTest : public GatherTest {
 protected:
  Tensor gather(const Tensor& data, const std::vector<std::int32_t>& index,
                const GatherImagesOptions& options) const {
    Tensor y = Tensor::full(
        {static_cast<std::int64_t>(index.size()), data.dim(1), data.dim(2), data.dim(3)}, 777,
        DType::f32, device());
    gather_images(y, data.to(device()), indices(index), options);
    return y;
  }
};
std::vector<DeviceDtype> image_devices() {
  std::vector<DeviceDtype> params = all_devices();
  std::erase_if(params, [](const DeviceDtype& p) { return p.dtype != DType::f32; });
  return params;
}
INSTANTIATE_TEST_SUITE_P(Devices, GatherImagesTest, ::testing::ValuesIn(image_devices()),
                         [](const auto& test) { return test.param.name(); });

TEST_P(GatherImagesTest, ScalesAndShifts) {
  const Tensor data = Tensor::from(std::vector<std::uint8_t>{0, 100, 200, 255}, {2, 1, 2, 1});
  // 0.01 * pixel - 1
  expect_close(gather(data, {1, 0}, {.scale = 0.01, .shift = -1}), {1, 1.55, -1, 0}, tolerance());
}

TEST_P(GatherImagesTest, IndexOutOfRangeThrowsOrGivesZeros) {
  const Tensor data = Tensor::from(std::vector<std::uint8_t>{7, 100, 200, 255}, {2, 1, 2, 1});
  const auto run = [&] { return gather(data, {2, 0, -1}, {.scale = 2, .shift = 1}); };
  if (!device().is_cuda()) return expect_error(run, "gather_images: index 2 at position 0");
  expect_close(run(), {0, 0, 15, 201, 0, 0}, 0);
}

TEST_P(GatherImagesTest, JitterMovesByTheWordsOfTheStream) {
  const std::int64_t n = 40, h = 9, w = 7, c = 3;
  const std::vector<double> values = random_values(n * h * w * c, 100);
  const Tensor data = Tensor::from(values, {n, h, w, c}).to(DType::f32);
  std::vector<std::int32_t> index;
  for (std::int32_t b = 0; b < 64; ++b) index.push_back(b * 7 % static_cast<std::int32_t>(n));
  for (int jitter : {0, 1, 3, 20}) {  // 20 can push an image out entirely
    const GatherImagesOptions o = {.scale = 0.5,
                                   .shift = 2,
                                   .vary = {.max_jitter = jitter},
                                   .stream = kStream,
                                   .first_sample = 1000};
    std::vector<double> expected;
    for (std::size_t b = 0; b < index.size(); ++b) {
      const std::int64_t dy = gather_offset(kStream, 2 * (1000 + b), jitter);
      const std::int64_t dx = gather_offset(kStream, 2 * (1000 + b) + 1, jitter);
      for (std::int64_t i = 0; i < h; ++i)
        for (std::int64_t j = 0; j < w; ++j)
          for (std::int64_t k = 0; k < c; ++k) {
            const std::int64_t y = i - dy, x = j - dx;
            const bool inside = 0 <= y && y < h && 0 <= x && x < w;
            const auto at = static_cast<std::size_t>(((index[b] * h + y) * w + x) * c + k);
            expected.push_back(0.5 * (inside ? values[at] : 0) + 2);
          }
    }
    expect_close(gather(data, index, o), expected, tolerance(), std::to_string(jitter));
  }
}

/// A row 0 1 2 3 4 5 of three pixels with two channels each.
Tensor three_pixels() {
  return Tensor::from(std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5}, {1, 1, 3, 2});
}

TEST_P(GatherImagesTest, FlipsHalfOfTheImagesPixelByPixel) {
  const Tensor y = gather(three_pixels(), std::vector<std::int32_t>(200, 0),
                          {.vary = {.flip = true}, .stream = kStream});
  const std::vector<double> plain = {0, 1, 2, 3, 4, 5}, flipped = {4, 5, 2, 3, 0, 1};
  int flips = 0;
  for (std::int64_t b = 0; b < 200; ++b) {
    const std::vector<double> row = to_doubles(y.rows(b, b + 1));
    EXPECT_TRUE(row == plain || row == flipped) << b;
    flips += row == flipped;
  }
  EXPECT_NEAR(flips, 100, 35);  // five standard deviations of a binomial
}

TEST_P(GatherImagesTest, ReflectedPaddingMirrorsWithoutTheEdge) {
  const std::vector<std::vector<double>> by_offset = {
      {4, 5, 2, 3, 0, 1},
      {2, 3, 4, 5, 2, 3},
      {0, 1, 2, 3, 4, 5},
      {2, 3, 0, 1, 2, 3},
      {4, 5, 2, 3, 0, 1}};  // moved by -2 .. 2 pixels
  const Tensor y = gather(three_pixels(), std::vector<std::int32_t>(40, 0),
                          {.vary = {.max_jitter = 2, .reflect = true}, .stream = kStream});
  for (std::uint64_t b = 0; b < 40; ++b) {
    const int dx = gather_offset(kStream, 2 * b + 1, 2);
    const auto row = static_cast<std::int64_t>(b);
    expect_close(y.rows(row, row + 1), by_offset[static_cast<std::size_t>(dx + 2)], 0);
  }
}

TEST_P(GatherImagesTest, RecoloursWithinRange) {
  const Tensor data = Tensor::from(std::vector<std::uint8_t>{0, 60, 200, 255}, {1, 1, 4, 1});
  const ImageVariation vary = {.brightness = 0.5f, .contrast = 0.25f};
  const Tensor y =
      gather(data, std::vector<std::int32_t>(50, 0), {.vary = vary, .stream = kStream});
  std::vector<double> expected;
  for (std::uint64_t b = 0; b < 50; ++b) {
    RngStream colour = kStream;
    ++colour.layer;
    const double u = uniform_from_word(philox_word(colour, 4 * b + 1));
    const double v = uniform_from_word(philox_word(colour, 4 * b + 2));
    const double brightness = 1 + 0.5 * (2 * u - 1), contrast = 1 + 0.25 * (2 * v - 1);
    for (const double pixel : {0, 60, 200, 255})
      expected.push_back(std::clamp(contrast * (brightness * pixel - 127.5) + 127.5, 0.0, 255.0));
  }
  expect_close(y, expected, tolerance());
}

TEST_P(GatherImagesTest, NormalizesByChannel) {
  const Tensor y = gather(three_pixels(), {0}, {.scale = 2, .mean = {1, 4}, .std = {2, 4}});
  // (2 pixel - 1) / 2 and (2 pixel - 4) / 4
  expect_close(y, {-0.5, -0.5, 1.5, 0.5, 3.5, 1.5}, tolerance());
}

TEST_P(GatherImagesTest, EveryDeviceHasTheBitsOfTheCpu) {
  const Tensor data = Tensor::from(random_values(4 * 35 * 3, 90), {4, 5, 7, 3}).to(DType::f32);
  const GatherImagesOptions options = {
      .scale = 0.01,
      .vary = {.max_jitter = 9, .reflect = true, .flip = true, .brightness = 1, .contrast = 0.3f},
      .stream = kStream,
      .first_sample = 7,
      .mean = {0.1, 0.2, 0.3},
      .std = {0.3, 0.2, 0.1}};
  const Tensor y = gather(data, {3, 1, 0, 2, 2, 1}, options);
  Tensor cpu = Tensor::empty(y.shape());
  gather_images(cpu, data, Tensor::from(std::vector<std::int32_t>{3, 1, 0, 2, 2, 1}, {6}), options);
  EXPECT_TRUE(same_bytes(y, cpu));
}

TEST_P(GatherImagesTest, ABlockContinuesTheBatch) {
  const Tensor data = Tensor::from(random_values(10 * 36), {10, 6, 6, 1}).to(DType::f32);
  const Tensor whole =
      gather(data, {3, 1, 4, 1, 5}, {.vary = {.max_jitter = 2}, .stream = kStream});
  const Tensor rest =
      gather(data, {4, 1, 5}, {.vary = {.max_jitter = 2}, .stream = kStream, .first_sample = 2});
  EXPECT_TRUE(same_bytes(rest, whole.rows(2, 5)));
}

TEST(Gather, OffsetsAreUniform) {
  std::map<int, int> count;
  for (std::uint64_t i = 0; i < 10000; ++i) ++count[gather_offset(kStream, i, 2)];
  // Each is binomial with mean 2000 and standard deviation 40: five of them.
  for (int offset = -2; offset <= 2; ++offset) EXPECT_NEAR(count[offset], 2000, 200);
  EXPECT_EQ(count.size(), 5u);
}

TEST(Gather, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor data = Tensor::from(random_values(300 * 784), {300, 28, 28, 1}).to(DType::f32);
    std::vector<std::int32_t> index;
    for (std::int32_t b = 0; b < 256; ++b) index.push_back(b * 11 % 300);
    Tensor y = Tensor::empty({256, 28, 28, 1});
    gather_images(y, data, Tensor::from(index, {256}),
                  {.scale = 0.3, .shift = 0.1, .vary = {.max_jitter = 2}, .stream = kStream});
    Tensor varied = Tensor::empty(y.shape());
    gather_images(varied, data, Tensor::from(index, {256}),
                  {.vary = {.max_jitter = 2, .flip = true, .brightness = 0.4f, .contrast = 0.4f},
                   .stream = kStream});
    return std::vector{y, varied};
  });
}

TEST(Gather, Rejections) {
  Tensor y = Tensor::zeros({2, 3}), data = Tensor::zeros({4, 3});
  const Tensor index = Tensor::zeros({2}, DType::i32);
  const auto at = [](std::int32_t i) { return Tensor::from(std::vector{0, i}, {2}); };
  expect_error([&] { gather_rows(y, data, at(4)); },
               "gather_rows: index 4 at position 1; expected 0 <= index < 4");
  expect_error([&] { gather_rows(y, data, at(-1)); }, "gather_rows: index -1 at position 1");
  expect_error([&] { gather_rows(y, data, y); }, "gather_rows: index is f32(2,3); expected i32(B)");
  expect_error(
      [&] {
        gather_rows(y, Tensor::zeros({4, 2}), index);
      },
      "gather_rows: y has shape (2,3), data (4,2), index (2)");
  expect_error([&] { gather_rows(y, data.to(DType::f64), index); },
               "gather_rows: y is f32, data f64; expected equal dtypes");
  expect_error([&] { gather_rows(y, Tensor(), index); }, "gather_rows: y, data or index is");
  expect_error([&] { gather_images(y, data, index, {}); },
               "gather_images: data has shape (4,3); expected (N,H,W,C)");
  Tensor images = Tensor::zeros({4, 5, 5, 1}), batch = Tensor::zeros({2, 5, 5, 1});
  Tensor wide = batch.to(DType::f64);
  expect_error([&] { gather_images(batch, images, at(4), {}); },
               "gather_images: index 4 at position 1");
  expect_error([&] { gather_images(batch, images, index, {.vary = {.max_jitter = -1}}); },
               "gather_images: max_jitter is -1; expected 0 to 1024");
  expect_error([&] { gather_images(batch, images, index, {.vary = {.brightness = 2}}); },
               "gather_images: brightness is 2; expected 0 to 1");
  expect_error([&] { gather_images(batch, images, index, {.vary = {.contrast = -1}}); },
               "gather_images: contrast is -1; expected 0 to 1");
  expect_error(
      [&] {
        gather_images(batch, images, index, {.mean = {1, 2}, .std = {1, 2}});
      },
      "gather_images: mean has 2 numbers, std 2, the images 1 channels");
  expect_error([&] { gather_images(batch, images, index, {.mean = {1}, .std = {0}}); },
               "gather_images: a std is 0; expected > 0");
  expect_error([&] { gather_images(wide, images, index, {}); },
               "gather_images: y is f64; expected f32");
  expect_error([&] { gather_images(batch, images.to(DType::i32), index, {}); },
               "gather_images: data is i32; expected u8 or f32");
  expect_error([&] { gather_images(batch, images, index, {.first_sample = -1}); },
               "gather_images: first_sample is -1; expected >= 0");
}

}  // namespace
}  // namespace limbeck::testing

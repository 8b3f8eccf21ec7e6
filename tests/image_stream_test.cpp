// SPDX-License-Identifier: Apache-2.0
// Decoded while training goes on: the batches of the same images in memory.
#include <limbeck/tools/image_stream.h>

#include <limbeck/distill/shuffle.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/image_folder_files.h>
#include <limbeck/tools/image_file.h>

namespace limbeck::testing {
namespace {

class ImageStreamTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (!png_available()) GTEST_SKIP() << "this build has no libpng";
    for (int i = 0; i < 7; ++i)
      write_image(files_, (i % 3 == 0 ? "a/" : "b/") + std::to_string(i) + ".png", key_png(11 * i));
    folder_ = std::make_shared<ImageFolder>(list_image_folder(files_.file(""), {}));
  }

  /// All images, decoded.
  TensorSource in_memory(const Augment& augment) const {
    Tensor images = Tensor::empty({7, 4, 5, 3}, DType::u8);
    for (std::int32_t i = 0; i < 7; ++i)
      folder_->load(i, images.data<std::uint8_t>() + static_cast<std::size_t>(i) * 60);
    return TensorSource(images.to(device()), Tensor::from(folder_->labels, {7}, device()), 2,
                        kInput, augment, 5);
  }

  const Preprocess kInput = {.mean = {0.1, 0.2, 0.3}, .std = {1, 0.5, 0.25}};
  TemporaryFolder files_;
  std::shared_ptr<const ImageFolder> folder_;
};

TEST_P(ImageStreamTest, HasTheBatchesOfImagesInMemoryForAnyThreads) {
  const Augment augment = {.vary = {.max_jitter = 1, .flip = true, .brightness = 0.3f},
                           .mix = {.mixup = 1}};
  TensorSource memory = in_memory(augment);
  for (const int threads : {1, 2, 4}) {
    ImageStream stream(folder_, device(), kInput, augment, 5, threads);
    EXPECT_EQ(stream.size(), 7);
    EXPECT_EQ(stream.classes(), 2);
    EXPECT_TRUE(stream.augments());
    for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
      const std::vector<std::int32_t> order = shuffled({0, 1, 2, 3, 4, 5, 6}, 5, epoch);
      memory.begin_epoch(order, epoch);
      stream.begin_epoch(order, epoch);
      for (const auto& [first, last] : {std::pair{0, 3}, {3, 6}, {6, 7}, {0, 3}}) {
        const Batch a = memory.fetch(first, last, epoch), b = stream.fetch(first, last, epoch);
        EXPECT_TRUE(same_bytes(a.x, b.x));
        EXPECT_TRUE(same_bytes(a.labels, b.labels));
        EXPECT_TRUE(same_bytes(a.samples, b.samples));
        EXPECT_TRUE(same_bytes(a.other_labels, b.other_labels));
        EXPECT_EQ(a.targets, b.targets);
      }
    }
  }
}

TEST_P(ImageStreamTest, ABrokenFileIsNamed) {
  expect_no_launch();
  write_image(files_, "b/4.png", key_png(1).substr(0, 40));
  ImageStream stream(folder_, device(), {});
  stream.begin_epoch({0, 1, 2, 3, 4, 5, 6}, 0);
  expect_error<IoError>([&] { stream.fetch(0, 7, 0); }, "b/4.png: corrupt PNG (truncated)");
  expect_error([&] { stream.begin_epoch({7}, 0); },
               "ImageStream: sample 7; expected 0 <= sample < 7");
}

std::vector<DeviceDtype> f32_devices() {
  std::vector<DeviceDtype> list = all_devices();
  std::erase_if(list, [](const DeviceDtype& target) { return target.dtype != DType::f32; });
  return list;
}

INSTANTIATE_TEST_SUITE_P(Devices, ImageStreamTest, ::testing::ValuesIn(f32_devices()),
                         [](const auto& test) { return test.param.name(); });

}  // namespace
}  // namespace limbeck::testing

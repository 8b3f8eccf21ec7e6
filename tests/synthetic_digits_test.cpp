// SPDX-License-Identifier: Apache-2.0
// Tests of the built-in digits: the same bytes everywhere, and something to see in each.
#include <limbeck/tools/synthetic_digits.h>

#include <limbeck/tests/same_bits.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/digit_skeletons.h>

namespace limbeck::testing {
namespace {

std::vector<Tensor> draw(std::int64_t N, std::uint64_t seed = 0, std::uint32_t first = 0) {
  Tensor images = Tensor::full({N, 28, 28, 1}, 77, DType::u8);
  Tensor labels = Tensor::full({N}, 77, DType::i32);
  draw_synthetic_digits(images, labels, seed, first);
  return {images, labels};
}

TEST(SyntheticDigits, SameBytesForAnyThreadCount) {
  expect_same_bits([] { return draw(300); });  // more than one piece of the loop
}

TEST(SyntheticDigits, SameBytesOnEveryMachine) {
  Digest digest;
  for (const Tensor& tensor : draw(1000)) digest.add(tensor);
  EXPECT_EQ(digest.hex(), "43f97e8bfe2c7a048a9f1c7cd0d024ec");
}

TEST(SyntheticDigits, ASampleDependsOnSeedAndIndexAlone) {
  const std::vector<Tensor> all = draw(100, 3), tail = draw(30, 3, 70);
  EXPECT_TRUE(same_bytes(all[0].rows(70, 100), tail[0]));
  EXPECT_TRUE(same_bytes(all[1].rows(70, 100), tail[1]));
  EXPECT_FALSE(same_bytes(draw(100, 4)[0], all[0]));
}

TEST(SyntheticDigits, EveryImageHasInkAndEveryDigitComesUp) {
  constexpr std::int64_t N = 2000;
  const std::vector<Tensor> data = draw(N);
  std::array<int, 10> count{};
  for (std::int64_t i = 0; i < N; ++i) {
    const std::uint8_t* image = data[0].data<std::uint8_t>() + i * 784;
    EXPECT_GE(std::count_if(image, image + 784, [](int p) { return p > 100; }), 5) << "image " << i;
    count[static_cast<std::size_t>(data[1].data<std::int32_t>()[i])] += 1;
  }
  // 200 expected, deviation 13.4: five deviations either way.
  for (int c : count) EXPECT_NEAR(c, 200, 67);
}

TEST(SyntheticDigits, EveryDigitHasSkeletonsInsideTheUnitSquare) {
  for (int digit = 0; digit < 10; ++digit)
    for (const Skeleton& skeleton : skeletons_of(digit)) {
      EXPECT_EQ(skeleton.digit, digit);
      for (int s = 0; s < skeleton.count; ++s) {
        const Stroke& stroke = skeleton.strokes[static_cast<std::size_t>(s)];
        EXPECT_GE(stroke.count, 2);
        for (const Point& p : stroke.points)
          EXPECT_TRUE(p.x >= 0 && p.x <= 1 && p.y >= 0 && p.y <= 1);
      }
    }
}

TEST(SyntheticDigits, NoSamplesAndWrongShapes) {
  draw(0);
  Tensor images = Tensor::zeros({2, 28, 28}, DType::u8), labels = Tensor::zeros({2}, DType::i32);
  expect_error([&] { draw_synthetic_digits(images, labels, 0); },
               "images have shape (2,28,28), labels (2); expected (N,28,28,1) and (N)");
}

}  // namespace
}  // namespace limbeck::testing

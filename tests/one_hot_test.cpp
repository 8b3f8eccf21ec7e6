// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/one_hot.h>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class OneHotTest : public DeviceTest {
 protected:
  Tensor labels(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(OneHotTest);

TEST_P(OneHotTest, HandNumbers) {
  Tensor y = make_like({3, 3});
  one_hot(y, labels({2, 0, kIgnoreIndex}));
  expect_close(y, {0, 0, 1, 1, 0, 0, 0, 0, 0}, 0);
  one_hot(y, labels({1, kIgnoreIndex, 2}), 4, -0.5);  // exact in every dtype
  expect_close(y, {-0.5, 4, -0.5, -0.5, -0.5, -0.5, -0.5, -0.5, 4}, 0);
}

TEST_P(OneHotTest, EverySize) {
  for (const std::int64_t V : {1, 31, 257, 1000})
    for (const std::int64_t N : {1, 3, 130}) {
      std::vector<std::int32_t> label;
      std::vector<double> expected(static_cast<std::size_t>(N * V), 0.25);
      for (std::int64_t n = 0; n < N; ++n) {
        label.push_back(static_cast<std::int32_t>((7 * n + 3) % V));
        expected[static_cast<std::size_t>(n * V + label.back())] = 2;
      }
      Tensor y = make_like({N, V});
      one_hot(y, labels(label), 2, 0.25);
      expect_close(y, expected, 0);
    }
}

TEST_P(OneHotTest, ALabelOutOfRangeThrowsOrGivesNan) {
  Tensor y = make_like({2, 2});
  const auto run = [&] { one_hot(y, labels({2, 1})); };
  if (!device().is_cuda()) return expect_error(run, "one_hot: label 0 is 2; expected 0 to 1 or");
  run();
  const std::vector<double> got = to_doubles(y);
  EXPECT_TRUE(std::isnan(got[0]) && std::isnan(got[1]));
  EXPECT_EQ(got[3], 1);
}

TEST_P(OneHotTest, NothingToWrite) {
  expect_no_launch();
  Tensor y = make_like({0, 3});
  one_hot(y, labels({}));
}

TEST(OneHot, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    std::vector<std::int32_t> label;
    for (int n = 0; n < 300; ++n) label.push_back(n);
    Tensor y = Tensor::empty({300, 400});
    one_hot(y, Tensor::from(label, {300}), 0.99, 0.01 / 399);
    return std::vector{y};
  });
}

TEST(OneHot, Rejections) {
  Tensor y = Tensor::zeros({2, 3}), whole = Tensor::zeros({2, 3}, DType::i32);
  const Tensor label = Tensor::zeros({2}, DType::i32);
  expect_error([&] { one_hot(whole, label); }, "one_hot: y is i32; expected a floating dtype");
  expect_error([&] { one_hot(y, Tensor::zeros({3}, DType::i32)); },
               "one_hot: labels is i32(3); expected i32(2)");
  expect_error([&] { one_hot(y, Tensor()); }, "one_hot: labels is undefined");
}

}  // namespace
}  // namespace limbeck::testing

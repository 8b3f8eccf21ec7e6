// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dropout.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

const RngStream kStream = {.seed = 7, .step = 3, .layer = 2, .purpose = RngPurpose::dropout};

class DropoutTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DropoutTest);

TEST_P(DropoutTest, FollowsTheWordsOfTheStream) {
  // 16384 elements are one piece of the CPU's loop; 50001 take four.
  for (std::int64_t n : {0, 1, 3, 31, 32, 33, 63, 64, 65, 1000, 50001})
    for (std::int64_t first : {0, 1, 2, 7, 1 << 20}) {
      const Tensor x = make(random_values(n), {n});
      Tensor y = make_like({n});
      dropout(y, x, {.p = 0.25, .stream = kStream, .first_element = first});
      std::vector<double> expected = to_doubles(x);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::uint32_t word = philox_word(kStream, static_cast<std::uint64_t>(first + i));
        double& e = expected[static_cast<std::size_t>(i)];
        e = word >= 0.25 * 0x1p32 ? e / 0.75 : 0;
      }
      expect_close(y, expected, tolerance(), "n " + std::to_string(n));
    }
}

TEST_P(DropoutTest, KeepsTheMean) {
  const std::int64_t n = 100000;
  Tensor y = make_like({n});
  dropout(y, Tensor::full({n}, 1, dtype(), device()), {.p = 0.5, .stream = kStream});
  double sum = 0, dropped = 0;
  for (double v : to_doubles(y)) {
    sum += v;
    dropped += v == 0;
  }
  // Standard deviation of both is 0.5 / sqrt(n) = 0.0016 (0.0032 for the mean): five of them.
  EXPECT_NEAR(sum / static_cast<double>(n), 1, 0.016);
  EXPECT_NEAR(dropped / static_cast<double>(n), 0.5, 0.008);
}

TEST_P(DropoutTest, ZeroProbabilityCopies) {
  const Tensor x = make(random_values(1000), {10, 100});
  Tensor y = make_like({10, 100});
  dropout(y, x, {.p = 0, .stream = kStream});
  EXPECT_TRUE(same_bytes(y, x));
}

TEST_P(DropoutTest, DroppedElementsAreZeroWhateverTheyWere) {
  const double inf = std::numeric_limits<double>::infinity();
  Tensor y = make_like({64});
  dropout(y, Tensor::full({64}, inf, dtype(), device()), {.p = 0.5, .stream = kStream});
  for (double v : to_doubles(y)) EXPECT_TRUE(v == 0 || v == inf) << v;
}

TEST_P(DropoutTest, InPlaceAndInBlocksEqualTheWhole) {
  const Tensor x = make(random_values(3000), {30, 100});
  Tensor whole = make_like({30, 100}), in_place = x.clone();
  dropout(whole, x, {.p = 0.3, .stream = kStream});
  dropout(in_place, in_place, {.p = 0.3, .stream = kStream});
  EXPECT_TRUE(same_bytes(in_place, whole));
  Tensor block = make_like({13, 100});
  dropout(block, x.rows(17, 30), {.p = 0.3, .stream = kStream, .first_element = 1700});
  EXPECT_TRUE(same_bytes(block, whole.rows(17, 30)));
}

TEST_P(DropoutTest, GroupsLiveAndDieTogether) {
  for (const std::int64_t size : {2, 7, 40000}) {
    const std::int64_t groups = size < 100 ? 50 : 3, first = 5;
    const Tensor x = make(random_values(groups * size), {groups, size});
    Tensor y = make_like({groups, size});
    dropout(y, x, {.p = 0.25, .stream = kStream, .first_element = first * size, .together = size});
    std::vector<double> expected = to_doubles(x);
    for (std::int64_t i = 0; i < groups * size; ++i) {
      const std::uint32_t word = philox_word(kStream, static_cast<std::uint64_t>(first + i / size));
      double& e = expected[static_cast<std::size_t>(i)];
      e = word >= 0.25 * 0x1p32 ? e / 0.75 : 0;
    }
    expect_close(y, expected, tolerance());
  }
}

TEST(Dropout, Groups) {
  Tensor x = Tensor::zeros({10});
  expect_error([&] { dropout(x, x, {.p = 0.5, .together = 4}); },
               "dropout: together is 4 for 10 elements from 0; expected a divisor >= 1 of both");
  expect_error([&] { dropout(x, x, {.p = 0.5, .first_element = 1, .together = 5}); },
               "dropout: together is 5 for 10 elements from 1");
  const Tensor values = Tensor::from(random_values(70000), {7, 10000}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({7, 10000});
    dropout(y, values, {.p = 0.3, .stream = kStream, .together = 10000});
    return std::vector{y};
  });
}

TEST(Dropout, Threshold) {
  EXPECT_EQ(dropout_threshold(0), 0u);
  EXPECT_EQ(dropout_threshold(0.5), 0x80000000u);
  EXPECT_EQ(dropout_threshold(0x1p-33), 1u);
  EXPECT_EQ(dropout_threshold(1 - 0x1p-50), 0xffffffffu);
}

TEST(Dropout, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor x = Tensor::from(random_values(50001), {50001}).to(DType::f32);
    Tensor y = Tensor::empty_like(x);
    dropout(y, x, {.p = 0.3, .stream = kStream, .first_element = 5});
    return std::vector{y};
  });
}

TEST(Dropout, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({3, 2});
  Tensor labels = Tensor::zeros({2, 3}, DType::i32);
  expect_error([&] { dropout(x, x, {.p = 1}); }, "dropout: p is 1; expected 0 <= p < 1");
  expect_error([&] { dropout(x, x, {.p = -0.5}); }, "dropout: p is -0.5; expected 0 <= p < 1");
  expect_error([&] { dropout(y, x, {.p = 0.5}); },
               "dropout: y is f32(3,2) on cpu, x f32(2,3) on cpu; expected equal ones");
  expect_error([&] { dropout(labels, labels, {.p = 0.5}); },
               "dropout: x is i32; expected a floating dtype");
  expect_error([&] { dropout(x, x, {.p = 0.5, .first_element = -1}); },
               "dropout: first_element is -1; expected >= 0");
  expect_error([&] { dropout(x, Tensor(), {}); }, "dropout: y or x is undefined");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_linear.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tests/joined_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::same_bytes;

class JoinedLinearTest : public testing::JoinedTest {
 protected:
  /// Layers of the given widths whose weights and biases are rows of one stack.
  std::vector<LinearPart> layers(std::int64_t N, const std::vector<std::int64_t>& widths,
                                 const WeightStack& stack, Activation act) const {
    std::vector<LinearPart> parts;
    std::int64_t first = 0;
    for (const std::int64_t O : widths) {
      parts.push_back({.y = make_like({N, O}),
                       .w = stack.w.rows(first, first + O),
                       .bias = stack.bias.rows(first, first + O),
                       .act = act});
      first += O;
    }
    return parts;
  }
};

TEST_P(JoinedLinearTest, HandNumbers) {
  const WeightStack stack = {make({1, 1, 2, 0, -1, -2}, {3, 2}), make({0, 1, 2}, {3})};
  auto parts = layers(1, {2, 1}, stack, Activation::relu);
  joined_linear_forward(parts, make({2, 3}, {1, 2}), stack);
  expect_close(parts[0].y, {5, 5}, 0);  // 2+3, 4+1
  expect_close(parts[1].y, {0}, 0);     // max(-2-6+2, 0)
}

TEST_P(JoinedLinearTest, TheSameBitsAsApart) {
  const std::int64_t N = 37, I = 40;
  const WeightStack stack = {random({70, I}, 1), random({70}, 2)};
  const Tensor x = random({N, I}, 3);
  for (const Activation act : {Activation::none, Activation::relu, Activation::gelu})
    for (const bool stacked : {false, true})
      for (const bool packed : {false, true}) {
        auto parts = layers(N, {20, 1, 49}, stack, act);
        for (LinearPart& part : parts)
          if (packed) part.packed = PackedWeight(part.w);
        joined_linear_forward(parts, x, stacked ? stack : WeightStack{});
        for (const LinearPart& part : parts) {
          Tensor y = make_like(part.y.shape());
          linear_forward(y, nullptr, x, part.w, part.bias, act);
          EXPECT_TRUE(same_bytes(part.y, y)) << activation_name(act) << stacked << packed;
        }
      }
}

TEST_P(JoinedLinearTest, LeavesTheValueBeforeTheActivation) {
  const WeightStack stack = {random({5, 3}, 1), random({5}, 2)};
  const Tensor x = random({4, 3}, 3);
  auto parts = layers(4, {2, 3}, stack, Activation::relu);
  parts[1].pre = make_like({4, 3});
  joined_linear_forward(parts, x, stack);
  Tensor y = make_like({4, 3}), pre = make_like({4, 3});
  linear_forward(y, &pre, x, parts[1].w, parts[1].bias, Activation::relu);
  EXPECT_TRUE(same_bytes(parts[1].pre, pre));
  EXPECT_TRUE(same_bytes(parts[1].y, y));
}

TEST_P(JoinedLinearTest, AStackIsOneProductOnAGpu) {
  if (!device().is_cuda()) GTEST_SKIP() << "of a GPU";
  const WeightStack stack = {random({9, 6}, 1), random({9}, 2)};
  const Tensor x = random({4, 6}, 3);
  auto parts = layers(4, {2, 3, 4}, stack, Activation::relu);
  const auto before = cuda_launch_count();
  joined_linear_forward(parts, x, stack);
  EXPECT_EQ(cuda_launch_count() - before, 2u);  // the product, and its columns dealt out
}

TEST_P(JoinedLinearTest, NothingToMultiplyIsTheBias) {
  const WeightStack stack = {make_like({3, 0}), make({1, -2, 3}, {3})};
  auto parts = layers(2, {1, 2}, stack, Activation::relu);
  joined_linear_forward(parts, make_like({2, 0}), stack);
  expect_close(parts[0].y, {1, 1}, 0);
  expect_close(parts[1].y, {0, 3, 0, 3}, 0);
}

TEST_P(JoinedLinearTest, Rejections) {
  const WeightStack stack = {random({5, 3}, 1), random({5}, 2)};
  const Tensor x = random({4, 3}, 3);
  auto parts = layers(4, {2, 3}, stack, Activation::relu);
  expect_error([&] { joined_linear_forward({}, x); }, "joined_linear: 0 parts; expected 1 to 8");
  expect_error(
      [&] {
        joined_linear_forward(parts, random({4, 2}, 3));
      },
      "joined_linear: x has shape (4,2), w (2,3); expected (N,I) and (O,I)");
  auto swapped = std::vector{parts[1], parts[0]};
  expect_error([&] { joined_linear_forward(swapped, x, stack); },
               "joined_linear: weight and bias of a part lie elsewhere than rows 0 to 3");
  joined_linear_forward(parts, x, stack);  // what is left is accepted
  parts[0].y = make_like({4, 3});
  expect_error([&] { joined_linear_forward(parts, x); },
               "joined_linear: y has shape (4,3); expected (4,2)");
  expect_error([&] { PackedWeight(make_like({3})); },
               "PackedWeight: w has shape (3); expected a matrix");
}

LIMBECK_INSTANTIATE_DEVICE_TEST(JoinedLinearTest);

// A weight packed for vectors of another width is not read.
TEST(PackedWeightTest, SameBitsForEveryIsaAndThreadCount) {
  const auto values = [](const Shape& shape, std::uint64_t seed) {
    return Tensor::from(testing::random_values(shape.numel(), 1, seed), shape).to(DType::f32);
  };
  for (const Shape& size : {Shape{1, 5, 513}, Shape{130, 270, 300}, Shape{31, 17, 1030}})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Tensor x = values({size[0], size[2]}, 1).to(dtype),
                   w = values({size[1], size[2]}, 2).to(dtype);
      const PackedWeight packed(w);
      EXPECT_FALSE(packed.empty());
      testing::expect_same_bits([&] {
        std::vector<LinearPart> parts(2, {.y = {}, .w = w, .bias = {}, .packed = packed});
        for (LinearPart& part : parts) part.y = Tensor::empty({size[0], size[1]}, dtype);
        parts[1].packed = {};
        joined_linear_forward(parts, x);
        EXPECT_TRUE(same_bytes(parts[0].y, parts[1].y));
        return std::vector{parts[0].y};
      });
    }
}

}  // namespace
}  // namespace limbeck

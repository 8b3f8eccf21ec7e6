// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_conv2d.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/tests/joined_test.h>

namespace limbeck {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::same_bytes;

class JoinedConv2dTest : public testing::JoinedTest {
 protected:
  /// Convolutions of so many output channels whose weights and biases are rows of one stack.
  std::vector<Conv2dPart> layers(const Shape& x, const std::vector<std::int64_t>& channels,
                                 const WeightStack& stack, const Conv2dOptions& options) const {
    std::vector<Conv2dPart> parts;
    std::int64_t first = 0;
    for (const std::int64_t O : channels) {
      const Tensor w = stack.w.rows(first, first + O);
      const Tensor bias = stack.bias.defined() ? stack.bias.rows(first, first + O) : Tensor();
      parts.push_back({make_like(conv2d_output_shape(x, w.shape(), options)), w, bias});
      first += O;
    }
    return parts;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(JoinedConv2dTest);

// One pixel, 3: y = 3 w + b of two layers, the second rectified.
TEST_P(JoinedConv2dTest, HandNumbers) {
  const WeightStack stack = {make({1, 2, -4}, {3, 1, 1, 1}), make({0, 1, 5}, {3})};
  const Tensor x = make({3}, {1, 1, 1, 1});
  auto parts = layers(x.shape(), {2, 1}, stack, {});
  parts[1].relu = true;
  joined_conv2d_forward(parts, x, {}, stack);
  expect_close(parts[0].y, {3, 7}, 0);
  expect_close(parts[1].y, {0}, 0);  // max(-12 + 5, 0)
}

TEST_P(JoinedConv2dTest, TheSameBitsAsApart) {
  const Tensor x = random({3, 6, 5, 2}, 1);
  for (const Conv2dOptions& options : {Conv2dOptions{1, 1}, Conv2dOptions{2, 0}})
    for (const bool bias : {true, false})
      for (const bool stacked : {true, false}) {
        const WeightStack stack = {random({21, 3, 3, 2}, 2), bias ? random({21}, 3) : Tensor()};
        auto parts = layers(x.shape(), {4, 1, 16}, stack, options);
        parts[0].relu = true;
        joined_conv2d_forward(parts, x, options, stacked ? stack : WeightStack{});
        for (const Conv2dPart& part : parts) {
          Conv2dOptions own = options;
          own.relu = part.relu;
          Tensor y = make_like(part.y.shape());
          conv2d_forward(y, x, part.w, part.bias, own);
          EXPECT_TRUE(same_bytes(part.y, y)) << bias << stacked;
        }
      }
}

TEST_P(JoinedConv2dTest, AStackIsOneConvolutionOnAGpu) {
  if (!device().is_cuda()) GTEST_SKIP() << "of a GPU";
  const WeightStack stack = {random({6, 3, 3, 1}, 1), random({6}, 2)};
  const Tensor x = random({2, 4, 4, 1}, 3);
  auto parts = layers(x.shape(), {2, 4}, stack, {1, 1});
  const auto before = cuda_launch_count();
  joined_conv2d_forward(parts, x, {1, 1}, stack);
  EXPECT_EQ(cuda_launch_count() - before, 2u);  // the convolution, and its channels dealt out
}

TEST_P(JoinedConv2dTest, Rejections) {
  const WeightStack stack = {random({3, 3, 3, 1}, 1), random({3}, 2)};
  const Tensor x = random({2, 4, 4, 1}, 3);
  auto parts = layers(x.shape(), {1, 2}, stack, {1, 1});
  joined_conv2d_forward(parts, x, {1, 1}, stack);  // what is left is accepted
  expect_error([&] { joined_conv2d_forward({}, x, {}); }, "joined_conv2d: 0 parts");
  expect_error([&] { joined_conv2d_forward(parts, x, {.groups = 2}); },
               "joined_conv2d: groups is 2; expected 1");
  auto swapped = std::vector{parts[1], parts[0]};
  expect_error(
      [&] {
        joined_conv2d_forward(swapped, x, {1, 1}, stack);
      },
      "joined_conv2d: weight and bias of a part lie elsewhere than rows 0 to 2");
  expect_error([&] { joined_conv2d_forward(parts, x, {}); },
               "joined_conv2d: y has shape (2,4,4,1); expected (2,2,2,1)");
  parts[1].w = random({2, 1, 1, 1}, 1);
  expect_error(
      [&] {
        joined_conv2d_forward(parts, x, {1, 1});
      },
      "joined_conv2d: w has shape (2,1,1,1), another (1,3,3,1)");
}

}  // namespace
}  // namespace limbeck

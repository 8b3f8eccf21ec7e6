// SPDX-License-Identifier: Apache-2.0
// Tests of average pooling to a given size as a differentiable op.
#include <limbeck/autograd/adaptive_avg_pool2d.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class AdaptiveAvgPool2dGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(AdaptiveAvgPool2dGradTest);

// The mean of (1,4;3,2) is 2.5, and a gradient of 8 is spread over the four.
TEST_P(AdaptiveAvgPool2dGradTest, HandNumbers) {
  const Variable x(make({1, 4, 3, 2}, {1, 2, 2, 1}), true);
  const Variable y = adaptive_avg_pool2d(x, 1, 1);
  expect_close(y.value(), {2.5}, tolerance());
  y.backward(make({8}, {1, 1, 1, 1}));
  expect_close(x.grad(), {2, 2, 2, 2}, tolerance());
}

TEST(AdaptiveAvgPool2dGrad, Gradients) {  // linear: no bias, only noise
  const Tensor x = Tensor::from(random_values(2 * 5 * 6 * 2), {2, 5, 6, 2});
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 4}, {7, 3}}) {
    const auto result = grad_check(
        [&](std::span<const Variable> v) { return adaptive_avg_pool2d(v[0], height, width); }, {x});
    EXPECT_LT(result.error, 1e-8) << height << "x" << width << result.where;
  }
}

TEST(AdaptiveAvgPool2dGrad, Rejections) {
  const Variable x(Tensor::zeros({1, 2, 2, 1})), row(Tensor::zeros({2, 2}));
  expect_error([&] { adaptive_avg_pool2d(row, 1, 1); },
               "adaptive_avg_pool2d: x has shape (2,2); expected (N,H,W,C)");
  expect_error([&] { adaptive_avg_pool2d(x, 1, 0); },
               "adaptive_avg_pool2d: output is 1x0; expected at least 1x1");
}

}  // namespace
}  // namespace limbeck::testing

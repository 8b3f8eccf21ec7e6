// SPDX-License-Identifier: Apache-2.0
// Tests of pooling as differentiable ops.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/pool2d.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class Pool2dGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(Pool2dGradTest);

// One 2x2 window (1,4;3,2): the maximum 4 takes the whole gradient 8, the mean 2.5 spreads it.
TEST_P(Pool2dGradTest, HandNumbers) {
  const Variable x(make({1, 4, 3, 2}, {1, 2, 2, 1}), true);
  const Variable y(make({1, 4, 3, 2}, {1, 2, 2, 1}), true);
  const Variable largest = max_pool2d(x, {}), mean = avg_pool2d(y, {});
  expect_close(largest.value(), {4}, tolerance());
  expect_close(mean.value(), {2.5}, tolerance());
  largest.backward(make({8}, {1, 1, 1, 1}));
  mean.backward(make({8}, {1, 1, 1, 1}));
  expect_close(x.grad(), {0, 8, 0, 0}, tolerance());
  expect_close(y.grad(), {2, 2, 2, 2}, tolerance());
}

// Both are linear around values further apart than h: no bias, only noise.
TEST(Pool2dGrad, Gradients) {
  const Tensor x = Tensor::from(random_values(2 * 6 * 5 * 2), {2, 6, 5, 2});
  for (const Pool2dOptions& options : {Pool2dOptions{2, 2, 0}, Pool2dOptions{3, 2, 1}}) {
    const auto largest =
        grad_check([&](std::span<const Variable> v) { return max_pool2d(v[0], options); }, {x});
    EXPECT_LT(largest.error, 1e-8) << largest.where;
    const auto mean =
        grad_check([&](std::span<const Variable> v) { return avg_pool2d(v[0], options); }, {x});
    EXPECT_LT(mean.error, 1e-8) << mean.where;
  }
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of enlarging images as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/upsample.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class UpsampleGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UpsampleGradTest);

// Each of (1,2) becomes a 2x2 block and collects the gradient of four.
TEST_P(UpsampleGradTest, HandNumbers) {
  const Variable x(make({1, 2}, {1, 1, 2, 1}), true);
  const Variable y = upsample(x, {});
  expect_close(y.value(), {1, 1, 2, 2, 1, 1, 2, 2}, 0);
  y.backward(make({1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 4, 1}));
  expect_close(x.grad(), {14, 22}, tolerance());
}

TEST(UpsampleGrad, Gradients) {  // linear: no bias, only noise
  const Tensor x = Tensor::from(random_values(2 * 4 * 5 * 2), {2, 4, 5, 2});
  for (const UpsampleMode mode : {UpsampleMode::nearest, UpsampleMode::bilinear})
    for (const ScaleRatio& ratio : {ScaleRatio{2, 1}, ScaleRatio{3, 2}, ScaleRatio{3, 4}}) {
      const auto result = grad_check(
          [&](std::span<const Variable> v) {
            return upsample(v[0], {mode, ratio, {2, 1}});
          },
          {x});
      EXPECT_LT(result.error, 1e-8) << ratio.numerator << "/" << ratio.denominator << result.where;
    }
}

}  // namespace
}  // namespace limbeck::testing

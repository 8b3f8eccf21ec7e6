// SPDX-License-Identifier: Apache-2.0
// Tests of softmax as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/softmax.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class SoftmaxGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(SoftmaxGradTest);

// Equal logits: p = 1/2 each; from dy = (1,0) at tau 2: dx = p (dy - 1/2) / 2 = (1/8,-1/8).
TEST_P(SoftmaxGradTest, HandNumbers) {
  const Variable x(make({3, 3}, {1, 2}), true);
  const Variable y = softmax(x, 2);
  expect_close(y.value(), {0.5, 0.5}, tolerance());
  y.backward(make({1, 0}, {1, 2}));
  expect_close(x.grad(), {0.125, -0.125}, tolerance());
}

TEST(SoftmaxGrad, Gradient) {  // 1e-6: h^2 f'''/6
  for (double tau : {0.5, 1.0, 4.0}) {
    const GradCheckResult result =
        grad_check([tau](std::span<const Variable> v) { return softmax(v[0], tau); },
                   {Tensor::from(random_values(30, 3), {3, 10})});
    EXPECT_LT(result.error, 1e-6) << "tau " << tau << ": " << result.where;
  }
}

}  // namespace
}  // namespace limbeck::testing

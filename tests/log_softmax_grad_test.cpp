// SPDX-License-Identifier: Apache-2.0
// Tests of log-softmax as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/log_softmax.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class LogSoftmaxGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(LogSoftmaxGradTest);

// Equal logits: p = 1/2 each; from dy = (1,0): dx = dy - p sum(dy) = (1/2,-1/2).
TEST_P(LogSoftmaxGradTest, HandNumbers) {
  const Variable x(make({3, 3}, {1, 2}), true);
  const Variable y = log_softmax(x);
  expect_close(y.value(), {-std::log(2.0), -std::log(2.0)}, tolerance());
  y.backward(make({1, 0}, {1, 2}));
  expect_close(x.grad(), {0.5, -0.5}, tolerance());
}

TEST(LogSoftmaxGrad, Gradient) {  // 1e-6: h^2 f'''/6
  for (double tau : {0.5, 1.0, 4.0}) {
    const GradCheckResult result =
        grad_check([tau](std::span<const Variable> v) { return log_softmax(v[0], tau); },
                   {Tensor::from(random_values(30, 3), {3, 10})});
    EXPECT_LT(result.error, 1e-6) << "tau " << tau << ": " << result.where;
  }
}

}  // namespace
}  // namespace limbeck::testing

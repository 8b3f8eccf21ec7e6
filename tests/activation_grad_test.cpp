// SPDX-License-Identifier: Apache-2.0
// Tests of the activations as differentiable ops.
#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ActivationGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ActivationGradTest);

// relu'(x) = (0,1), so from dy = (5,7): (0,7). tanh'(0) = 1.
TEST_P(ActivationGradTest, HandNumbers) {
  const Variable x(make({-1, 2}, {2}), true), zero(make({0}, {1}), true);
  const Variable y = activation(x, Activation::relu);
  expect_close(y.value(), {0, 2}, tolerance());
  y.backward(make({5, 7}, {2}));
  expect_close(x.grad(), {0, 7}, tolerance());
  activation(zero, Activation::tanh).backward();
  expect_close(zero.grad(), {1}, tolerance());
}

// 1e-6: h^2 f'''/6; no value lies within h of relu's kink.
TEST(ActivationGrad, Gradients) {
  for (const Activation act :
       {Activation::none, Activation::relu, Activation::gelu, Activation::tanh, Activation::sigmoid,
        Activation::silu, Activation::gelu_tanh, Activation::relu6, Activation::hardswish}) {
    const GradCheckResult result =
        grad_check([act](std::span<const Variable> v) { return activation(v[0], act); },
                   {Tensor::from(random_values(30, 3), {5, 6})});
    EXPECT_LT(result.error, 1e-6) << activation_name(act) << " " << result.where;
  }
}

TEST(ActivationGrad, NoneIsTheVariableItself) {
  const Variable x(Tensor::full({2}, 1), true);
  EXPECT_EQ(activation(x, Activation::none).value().raw(), x.value().raw());
}

}  // namespace
}  // namespace limbeck::testing

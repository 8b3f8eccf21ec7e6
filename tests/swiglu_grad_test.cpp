// SPDX-License-Identifier: Apache-2.0
// Tests of swiglu as a differentiable op.
#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/swiglu.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class SwigluGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(SwigluGradTest);

TEST_P(SwigluGradTest, AgreesWithItsParts) {
  const Tensor a = make(random_values(60, 3), {4, 15}), b = make(random_values(60, 1, 2), {4, 15});
  const Tensor dy = make(random_values(60, 1, 3), {4, 15});
  const Variable a1(a, true), b1(b, true), a2(a, true), b2(b, true);
  const Variable fused = swiglu(a1, b1), parts = mul(activation(a2, Activation::silu), b2);
  // The parts round twice to the dtype where swiglu rounds once.
  expect_close(fused.value(), to_doubles(parts.value()), 2 * tolerance());
  fused.backward(dy.clone());
  parts.backward(dy.clone());
  expect_close(a1.grad(), to_doubles(a2.grad()), 2 * tolerance());
  expect_close(b1.grad(), to_doubles(b2.grad()), 2 * tolerance());
}

TEST(SwigluGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor a = Tensor::from(random_values(12, 3), {3, 4});
  const Tensor b = Tensor::from(random_values(12, 1, 2), {3, 4});
  const auto result = grad_check([](auto v) { return swiglu(v[0], v[1]); }, {a, b});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of dropout as a differentiable op.
#include <limbeck/autograd/dropout.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class DropoutGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(DropoutGradTest);

DropoutOptions half(std::uint32_t layer = 0) {
  return {0.5, {7, 3, layer, RngPurpose::dropout}, 0};
}

// Kept elements are doubled, so a gradient of ones becomes exactly the mask that x = 1 shows.
TEST_P(DropoutGradTest, BackwardDrawsTheForwardsMask) {
  const Variable x(Tensor::full({50, 20}, 1, dtype(), device()), true);
  const Variable y = dropout(x, half());
  y.backward(Tensor::full({50, 20}, 1, dtype(), device()));
  EXPECT_TRUE(same_bytes(x.grad(), y.value()));
  EXPECT_FALSE(same_bytes(dropout(x, half(1)).value(), y.value()));
}

TEST(DropoutGrad, Gradient) {  // linear in x: no bias, only noise
  const GradCheckResult result =
      grad_check([](std::span<const Variable> v) { return dropout(v[0], half()); },
                 {Tensor::from(random_values(40), {4, 10})});
  EXPECT_LT(result.error, 1e-8) << result.where;
}

TEST(DropoutGrad, ZeroProbabilityIsTheVariableItself) {
  const Variable x(Tensor::full({2}, 1), true);
  EXPECT_EQ(dropout(x, {}).value().raw(), x.value().raw());
}

}  // namespace
}  // namespace limbeck::testing

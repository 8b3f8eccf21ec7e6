// SPDX-License-Identifier: Apache-2.0
// Tests of numbers divided by their mean as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/unit_mean.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class UnitMeanGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitMeanGradTest);

// Mean 2, dy = (2,0), sum dy y / 2 = 1/2: dx = (3/2, -1/2) / 2.
TEST_P(UnitMeanGradTest, HandNumbers) {
  const Variable x(make({1, 3}, {2}), true);
  const Variable y = unit_mean(x);
  expect_close(y.value(), {0.5, 1.5}, tolerance());
  y.backward(make({2, 0}, {2}));
  expect_close(x.grad(), {0.75, -0.25}, tolerance());
}

TEST(UnitMeanGrad, Gradient) {  // 1e-6: h^2 f'''/6
  std::vector<double> values = random_values(12, 0.5);
  for (double& v : values) v += 1;
  const auto result =
      grad_check([](auto v) { return unit_mean(v[0]); }, {Tensor::from(values, {3, 4})});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

}  // namespace
}  // namespace limbeck::testing

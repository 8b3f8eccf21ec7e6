// SPDX-License-Identifier: Apache-2.0
// Tests of channel maps scaled to length 1 as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/unit_columns.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class UnitColumnsGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitColumnsGradTest);

// Columns (3,4) and (0,2); of dy (5,0) the part across (0.6,0.8) is (3.2,-2.4), by 5.
TEST_P(UnitColumnsGradTest, HandNumbers) {
  const Variable x(make({3, 0, 4, 2}, {1, 2, 2}), true);
  const Variable y = unit_columns(x);
  expect_close(y.value(), {0.6, 0, 0.8, 1}, tolerance());
  y.backward(make({5, 1, 0, 1}, {1, 2, 2}));
  expect_close(x.grad(), {0.64, 0.5, -0.48, 0}, 2 * tolerance());
}

TEST(UnitColumnsGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const auto result = grad_check([](auto v) { return unit_columns(v[0]); },
                                 {Tensor::from(random_values(30, 2), {2, 5, 3})});
  EXPECT_LT(result.error, 1e-6) << result.where;
  expect_error(
      [] {
        unit_columns(Variable(Tensor::zeros({3, 2})));
      },
      "unit_columns: x has shape (3,2); expected (N,P,C)");
}

}  // namespace
}  // namespace limbeck::testing

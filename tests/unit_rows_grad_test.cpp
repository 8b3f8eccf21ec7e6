// SPDX-License-Identifier: Apache-2.0
// Tests of directions of rows as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class UnitRowsGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitRowsGradTest);

// (3,4): direction (0.6,0.8), whose gradient (5,0) becomes (0.64,-0.48).
TEST_P(UnitRowsGradTest, HandNumbers) {
  const Variable x(make({3, 4}, {1, 2}), true);
  const Variable y = unit_rows(x);
  expect_close(y.value(), {0.6, 0.8}, tolerance());
  y.backward(make({5, 0}, {1, 2}));
  expect_close(x.grad(), {0.64, -0.48}, 2 * tolerance());
}

TEST(UnitRowsGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor x = Tensor::from(random_values(3 * 7, 2), {3, 7});
  const auto result = grad_check([](auto v) { return unit_rows(v[0]); }, {x});
  EXPECT_LT(result.error, 1e-6) << result.where;
  expect_error([] { unit_rows(Variable(Tensor::zeros({3}))); },
               "unit_rows: x has shape (3); expected (N,V) with V >= 1");
}

}  // namespace
}  // namespace limbeck::testing

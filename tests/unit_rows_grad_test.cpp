// SPDX-License-Identifier: Apache-2.0
// Tests of directions and lengths of rows as differentiable ops.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class UnitRowsGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitRowsGradTest);

// (3,4): direction (0.6,0.8), whose gradient (5,0) becomes (0.64,-0.48); length 5, gradient 2.
TEST_P(UnitRowsGradTest, HandNumbers) {
  const Variable x(make({3, 4}, {1, 2}), true), same(make({3, 4}, {1, 2}), true);
  const Variable y = unit_rows(x), length = row_norms(same);
  expect_close(y.value(), {0.6, 0.8}, tolerance());
  expect_close(length.value(), {5}, 2e-6);
  y.backward(make({5, 0}, {1, 2}));
  sum(scale(length, 2)).backward();
  expect_close(x.grad(), {0.64, -0.48}, 2 * tolerance());
  expect_close(same.grad(), {1.2, 1.6}, 2 * tolerance());
}

TEST(UnitRowsGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor x = Tensor::from(random_values(3 * 7, 2), {3, 7});
  const auto check = [](const GradCheckResult& result) {
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  check(grad_check([](auto v) { return unit_rows(v[0]); }, {x}));
  check(grad_check([](auto v) { return row_norms(v[0]); }, {x}));
  expect_error([] { unit_rows(Variable(Tensor::zeros({3}))); },
               "unit_rows: x has shape (3); expected (N,V) with V >= 1");
}

}  // namespace
}  // namespace limbeck::testing

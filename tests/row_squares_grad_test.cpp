// SPDX-License-Identifier: Apache-2.0
// Tests of sums of squares over rows as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/row_squares.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class RowSquaresGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(RowSquaresGradTest);

// 1 + 4 and 9; gradients 3 and -1, twice that times x.
TEST_P(RowSquaresGradTest, HandNumbers) {
  const Variable x(make({1, 2, 0, -3}, {2, 2}), true);
  const Variable q = row_squares(x);
  expect_close(q.value(), {5, 9}, tolerance());
  q.backward(Tensor::from<double>({3, -1}, {2}).to(q.value().dtype()).to(device()));
  expect_close(x.grad(), {6, 12, 0, 6}, tolerance());
}

TEST(RowSquaresGrad, Gradient) {  // quadratic: only rounding, 1e-12 / h
  const auto result = grad_check([](auto v) { return row_squares(v[0]); },
                                 {Tensor::from(random_values(21), {3, 7})});
  EXPECT_LT(result.error, 1e-7) << result.where;
  expect_error([] { row_squares(Variable(Tensor::zeros({3}))); },
               "row_squares: x has shape (3); expected (N,V)");
}

}  // namespace
}  // namespace limbeck::testing

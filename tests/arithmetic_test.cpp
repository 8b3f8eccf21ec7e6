// SPDX-License-Identifier: Apache-2.0
// Tests of differentiable arithmetic and sums.
#include <limbeck/autograd/arithmetic.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ArithmeticTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ArithmeticTest);

// a = (1,2), b = (3,-4), upstream (1,10):
// a+b = (4,-2), a-b = (-2,6), a b = (3,-8), d(a b)/da = (3,-40), -2 a = (-2,-4).
TEST_P(ArithmeticTest, HandNumbers) {
  const Variable a(make({1, 2}, {2}), true), b(make({3, -4}, {2}), true);
  expect_close(add(a, b).value(), {4, -2}, tolerance());
  expect_close(sub(a, b).value(), {-2, 6}, tolerance());
  expect_close(scale(a, -2).value(), {-2, -4}, tolerance());
  expect_close(sum(b).value(), {-1}, tolerance());
  expect_close(mean(b).value(), {-0.5}, tolerance());
  expect_close(exp(Variable(make({0, 1}, {2}))).value(), {1, std::exp(1.0)}, tolerance());
  const Variable product = mul(a, b);
  expect_close(product.value(), {3, -8}, tolerance());
  product.backward(make({1, 10}, {2}));
  expect_close(a.grad(), {3, -40}, tolerance());
}

TEST_P(ArithmeticTest, MeanSpreadsItsGradientEvenly) {
  const Variable x(make({5, 6, 7, 8}, {2, 2}), true);
  mean(x).backward();
  expect_close(x.grad(), {0.25, 0.25, 0.25, 0.25}, tolerance());
  EXPECT_EQ(x.grad().dtype(), dtype());
}

// 1e-6: the difference of f64 sums near 10 has some 1e-15 / 1e-4 of noise, and h^2 f'''/6 of bias.
TEST(Arithmetic, Gradients) {
  const std::vector<Tensor> inputs = {Tensor::from(random_values(12), {3, 4}),
                                      Tensor::from(random_values(12, 1, 2), {3, 4})};
  const auto expect_right = [&](auto f) {
    const GradCheckResult result = grad_check(f, inputs);
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  expect_right([](std::span<const Variable> v) { return add(v[0], v[1]); });
  expect_right([](std::span<const Variable> v) { return sub(v[0], v[1]); });
  expect_right([](std::span<const Variable> v) { return mul(v[0], v[1]); });
  expect_right([](std::span<const Variable> v) { return mul(v[0], exp(v[1])); });
  expect_right([](std::span<const Variable> v) { return mul(v[0], scale(v[0], -3)); });
  expect_right([](std::span<const Variable> v) { return sum(mul(v[0], v[1])); });
  expect_right([](std::span<const Variable> v) { return mul(sum(v[0]), mean(mul(v[1], v[1]))); });
}

TEST(Arithmetic, EmptyTensors) {
  const Variable x(Tensor::empty({0, 3}), true);
  const Variable loss = mean(mul(x, x));
  EXPECT_EQ(loss.value().item(), 0);
  loss.backward();
  EXPECT_EQ(x.grad().shape(), Shape({0, 3}));
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of reshape as a differentiable op.
#include <limbeck/autograd/reshape.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(Reshape, SharesMemoryAndCarriesTheGradientBack) {
  const Variable x(Tensor::from(random_values(6), {2, 3}), true);
  const Variable y = reshape(x, {3, 2});
  EXPECT_EQ(y.value().raw(), x.value().raw());
  y.backward(Tensor::from<double>({1, 2, 3, 4, 5, 6}, {3, 2}));
  EXPECT_EQ(x.grad().shape(), Shape({2, 3}));
  EXPECT_EQ(x.grad().to_vector<double>(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
}

TEST(Reshape, Gradient) {
  const auto f = [](std::span<const Variable> v) {
    return mul(reshape(v[0], {6}), reshape(v[0], {6}));
  };
  const GradCheckResult result = grad_check(f, {Tensor::from(random_values(6), {2, 3})});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(Reshape, Rejects) {
  const Variable x(Tensor::zeros({2, 3}));
  expect_error([&] { reshape(x, {4}); }, "reshape: to (4) from (2,3)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/gated_sum.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(GatedSumGrad, GradientCheck) {
  const auto f = [](std::span<const Variable> in) { return gated_sum(in[0], {in[1], in[2]}); };
  const GradCheckResult check = grad_check(f, {Tensor::from(random_values(6, 1, 1), {3, 2}),
                                               Tensor::from(random_values(15, 1, 2), {3, 5}),
                                               Tensor::from(random_values(15, 1, 3), {3, 5})});
  EXPECT_LT(check.error, 1e-9) << check.where;  // linear in each: no error but rounding
}

TEST(GatedSumGrad, OnlyWhatIsWantedGetsAGradient) {
  const Variable gates(Tensor::full({2, 2}, 0.5), true), a(Tensor::full({2, 3}, 1));
  const Variable b(Tensor::full({2, 3}, 2), true);
  gated_sum(gates, {a, b}).backward(Tensor::full({2, 3}, 1));
  expect_close(gates.grad(), {3, 6, 3, 6}, 0);
  expect_close(b.grad(), std::vector<double>(6, 0.5), 0);
  EXPECT_FALSE(a.grad().defined());
  expect_error([&] { gated_sum(gates, {}); }, "gated_sum: 0 peers");
}

}  // namespace
}  // namespace limbeck::testing

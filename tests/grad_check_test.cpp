// SPDX-License-Identifier: Apache-2.0
// The gradient check must pass right gradients and fail wrong ones.
#include <limbeck/autograd/grad_check.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

/// y = x^2 whose backward multiplies the right gradient by `factor`.
Variable square(const Variable& x, double factor) {
  return record("square", mul(x, x).value(), {x},
                [v = x.value(), factor](const Tensor& dy, std::span<InputGrad> inputs) {
                  Variable dx = scale(mul(Variable(dy), Variable(v)), 2 * factor);
                  inputs[0].give(dx.value());
                });
}

double error_of(double factor, double size) {
  const Tensor x = Tensor::from(random_values(6, size), {6});
  return grad_check([&](std::span<const Variable> v) { return square(v[0], factor); }, {x}).error;
}

TEST(GradCheck, PassesARightGradient) { EXPECT_LT(error_of(1, 1), 1e-8); }

// The error is relative to the gradient's own size: a wrong tiny gradient is as wrong as a large.
TEST(GradCheck, SeesAWrongGradientOfAnySize) {
  for (const double size : {1e-3, 1.0, 1e3}) {
    EXPECT_NEAR(error_of(1.01, size), 0.01, 1e-6) << size;
    EXPECT_NEAR(error_of(0, size), 1, 1e-6) << size;
  }
}

TEST(GradCheck, SeesNaNAndNamesThePlace) {
  const auto result =
      grad_check([](std::span<const Variable> v) { return add(square(v[0], NAN), v[1]); },
                 {Tensor::full({2}, 1, DType::f64), Tensor::full({2}, 1, DType::f64)});
  EXPECT_EQ(result.error, INFINITY);
  EXPECT_NE(result.where.find("input 0 element 0"), std::string::npos) << result.where;
}

// An input the function ignores has gradient 0, and the inputs are as before.
TEST(GradCheck, IgnoredInputsAndRestoredValues) {
  const Tensor x = Tensor::from(random_values(4), {4}), before = x.clone();
  const auto first = [](std::span<const Variable> v) { return mul(v[0], v[0]); };
  EXPECT_LT(grad_check(first, {x, Tensor::full({2}, 1, DType::f64)}).error, 1e-8);
  EXPECT_TRUE(same_bytes(x, before));
}

TEST(GradCheck, RejectsF32) {
  expect_error([] { grad_check([](auto v) { return v[0]; }, {Tensor::zeros({1})}); },
               "grad_check: input is f32 on cpu; expected f64 on cpu");
}

}  // namespace
}  // namespace limbeck::testing

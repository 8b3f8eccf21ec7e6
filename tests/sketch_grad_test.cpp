// SPDX-License-Identifier: Apache-2.0
// Tests of count sketch and tensor sketch as differentiable ops.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class SketchGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(SketchGradTest);

// One bucket: y = sum of s x, so dx = s dy.
TEST_P(SketchGradTest, OneBucket) {
  const CountSketchPlan plan = count_sketch_plan(3, 1, {.seed = 4}, device());
  const std::vector<std::int32_t> target = plan.target.to_vector<std::int32_t>();
  const double x[3] = {1, 2, 4};
  std::vector<double> sign;
  double sum = 0;
  for (std::size_t d = 0; d < 3; ++d) {
    sign.push_back(target[d] % 2 ? -1.0 : 1.0);
    sum += sign[d] * x[d];
  }
  const Variable v(make({1, 2, 4}, {1, 3}), true);
  const Variable y = count_sketch(v, plan);
  expect_close(y.value(), {sum}, 0);
  y.backward(make({1}, {1, 1}));
  expect_close(v.grad(), sign, 0);
}

// One bucket, degree 2: y = f_1 f_2 with f_j = s_j x + t_j, so dx = s_1 f_2 + s_2 f_1.
TEST_P(SketchGradTest, OneBucketOfDegreeTwo) {
  const TensorSketchPlan plan =
      tensor_sketch_plan(1, 1, {.degree = 2, .gamma = 1, .c = 1, .seed = 4}, device());
  double f[2], s[2];
  for (std::size_t j = 0; j < 2; ++j) {
    const auto target = plan.factors[j].target.to_vector<std::int32_t>();
    s[j] = target[0] % 2 ? -1 : 1;
    f[j] = s[j] * 3 + (target[1] % 2 ? -1 : 1);
  }
  const Variable v(make({3}, {1, 1}), true);
  const Variable y = tensor_sketch(v, plan);
  expect_close(y.value(), {f[0] * f[1]}, tolerance());
  y.backward(make({1}, {1, 1}));
  expect_close(v.grad(), {s[0] * f[1] + s[1] * f[0]}, tolerance());
}

TEST(SketchGrad, CountSketch) {  // linear: only rounding, 1e-12 / h
  const CountSketchPlan plan = count_sketch_plan(20, 6, {.seed = 4});
  const GradCheckResult result =
      grad_check([&](std::span<const Variable> v) { return count_sketch(v[0], plan); },
                 {Tensor::from(random_values(60), {3, 20})});
  EXPECT_LT(result.error, 1e-8) << result.where;
}

TEST(SketchGrad, TensorSketch) {  // 1e-6: h^2 f'''/6
  for (const int degree : {1, 2, 3}) {
    const TensorSketchPlan plan =
        tensor_sketch_plan(11, 6, {.degree = degree, .gamma = 0.5, .c = 1, .seed = 4});
    const GradCheckResult result =
        grad_check([&](std::span<const Variable> v) { return tensor_sketch(v[0], plan); },
                   {Tensor::from(random_values(33), {3, 11})});
    EXPECT_LT(result.error, 1e-6) << "degree " << degree << ": " << result.where;
  }
}

}  // namespace
}  // namespace limbeck::testing

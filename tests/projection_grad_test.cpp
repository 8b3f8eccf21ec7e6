// SPDX-License-Identifier: Apache-2.0
// Tests of the projections as differentiable ops.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/projection.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ProjectionGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ProjectionGradTest);

// z = (1,-1), (4,-4), y = z^2; dx = sum of 2 z dy w = 2 for (1,0), and 2 * -4 * -1 for (0,1).
TEST_P(ProjectionGradTest, HandNumbers) {
  const Variable x(make({1, 4}, {2, 1}), true);
  const DenseProjection p{make({1, -1}, {2, 1}), ProjectionEpilogue::square};
  const Variable y = dense_projection(x, p);
  expect_close(y.value(), {1, 1, 16, 16}, tolerance());
  y.backward(make({1, 0, 0, 1}, {2, 2}));
  expect_close(x.grad(), {2, 8}, tolerance());
}

TEST_P(ProjectionGradTest, TransformsThereAndBackAreTheIdentity) {
  // |y|^2 / 2 has the gradient A^T A x = x for an isometry.
  const Variable x(make({1, 2, -3, 0.5}, {1, 4}), true);
  const Variable y = srht(x, make_srht_plan(1, 2, 4, 4, device()));
  y.backward(y.value().clone());
  expect_close(x.grad(), {1, 2, -3, 0.5}, 2 * tolerance());
}

// 1e-6: h^2 f'''/6, and z is of size 1 where the features turn 2 pi per unit.
TEST(ProjectionGrad, Gradient) {
  const Tensor x = Tensor::from(random_values(3 * 6, 1, 1), {3, 6});
  const auto expect_gradient = [&](const std::function<Variable(const Variable&)>& f) {
    const GradCheckResult result =
        grad_check([&](std::span<const Variable> v) { return f(v[0]); }, {x});
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  expect_gradient([](const Variable& v) { return rademacher_projection(v, 5, {7, 3}); });
  expect_gradient([](const Variable& v) { return srht(v, make_srht_plan(7, 3, 6, 5)); });
  for (const auto epilogue : {ProjectionEpilogue::none, ProjectionEpilogue::standardise,
                              ProjectionEpilogue::cos_sin, ProjectionEpilogue::square}) {
    const DenseProjection p{gaussian_frequencies(7, 3, {5, 6}, 1, DType::f64), epilogue,
                            Tensor::from(random_values(5, 1, 2), {5}),
                            Tensor::from(random_values(5, 1, 3), {5})};
    expect_gradient([&](const Variable& v) { return dense_projection(v, p); });
  }
}

TEST(ProjectionGrad, Rejections) {
  const Variable flat(Tensor::zeros({6}));
  expect_error([&] { rademacher_projection(flat, 2, {}); },
               "rademacher_projection: x has shape (6); expected (N,D)");
  expect_error([&] { srht(flat, make_srht_plan(1, 0, 6, 2)); }, "srht: x has shape (6)");
  expect_error([&] { dense_projection(flat, {}); }, "dense_projection: x has shape (6)");
  expect_error(
      [&] {
        dense_projection(Variable(Tensor::zeros({2, 3})), {});
      },
      "dense_projection: w has shape (); expected (K,D)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of layer norm and RMS norm as differentiable ops.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/layer_norm.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class LayerNormGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(LayerNormGradTest);

// Rows (0,2) and (0,-2), eps 3: n = (-1,1)/2 and (1,-1)/2. dbias sums dy, dweight sums dy n.
TEST_P(LayerNormGradTest, HandNumbers) {
  const Variable x(make({0, 2, 0, -2}, {2, 2}), true);
  const Variable w(make({1, 1}, {2}), true), b(make({0, 1}, {2}), true);
  const Variable y = layer_norm(x, w, b, 3);
  expect_close(y.value(), {-0.5, 1.5, 0.5, 0.5}, tolerance());
  y.backward(make({1, 0, 2, 4}, {2, 2}));
  expect_close(b.grad(), {3, 4}, tolerance());
  expect_close(w.grad(), {0.5, -2}, tolerance());
  // Row 1: g = (1,0), sum g = 1, sum g n = -1/2: dx = (g - 1/2 + n / 4) / 2 = (3/16,-3/16).
  // Row 2: g = (2,4), sum g = 6, sum g n = -1: dx = (g - 3 + n / 2) / 2 = (-3/8, 3/8).
  expect_close(x.grad(), {0.1875, -0.1875, -0.375, 0.375}, 2 * tolerance());
}

TEST(LayerNormGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor x = Tensor::from(random_values(2 * 3 * 5, 3), {2, 3, 5});
  const Tensor w = Tensor::from(random_values(5, 1, 2), {5});
  const Tensor b = Tensor::from(random_values(5, 1, 3), {5});
  const auto check = [](const GradCheckResult& result) {
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  check(grad_check([](auto v) { return layer_norm(v[0], v[1], v[2], 1e-2); }, {x, w, b}));
  check(grad_check([](auto v) { return layer_norm(v[0], {}, {}); }, {x}));
  check(grad_check([](auto v) { return rms_norm(v[0], v[1], 1e-2); }, {x, w}));
}

TEST(LayerNormGrad, GradientsOfTwoUsesAdd) {
  const Variable x(Tensor::from(random_values(6), {2, 3}));
  const Variable w(Tensor::full({3}, 1, DType::f64), true);
  const Tensor dy = Tensor::from(random_values(6, 1, 2), {2, 3});
  rms_norm(x, w, 1e-5).backward(dy);
  const auto once = to_doubles(w.grad());
  rms_norm(x, w, 1e-5).backward(dy);
  expect_close(w.grad(), {2 * once[0], 2 * once[1], 2 * once[2]}, 1e-12);
}

}  // namespace
}  // namespace limbeck::testing

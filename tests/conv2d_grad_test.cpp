// SPDX-License-Identifier: Apache-2.0
// Tests of convolution as a differentiable op.
#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/conv2d.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class Conv2dGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(Conv2dGradTest);

// One 2x2 image (1,2;3,4), one 1x1 weight 5, bias 6: y = 5 x + 6. From dy = (1,1;1,1): dx = 5 each,
// dw = 1+2+3+4 = 10, db = 4.
TEST_P(Conv2dGradTest, HandNumbers) {
  const Variable x(make({1, 2, 3, 4}, {1, 2, 2, 1}), true), w(make({5}, {1, 1, 1, 1}), true);
  const Variable b(make({6}, {1}), true);
  const Variable y = conv2d(x, w, b);
  expect_close(y.value(), {11, 16, 21, 26}, tolerance());
  y.backward(make({1, 1, 1, 1}, {1, 2, 2, 1}));
  expect_close(x.grad(), {5, 5, 5, 5}, tolerance());
  expect_close(w.grad(), {10}, tolerance());
  expect_close(b.grad(), {4}, tolerance());
}

TEST(Conv2dGrad, Gradients) {  // linear in each input: no bias, only noise
  for (const Conv2dOptions& options :
       {Conv2dOptions{1, 0}, Conv2dOptions{1, 1}, Conv2dOptions{2, 1}})
    for (const bool bias : {true, false}) {
      const GradCheckResult result = grad_check(
          [&](std::span<const Variable> v) {
            return conv2d(v[0], v[1], bias ? v[2] : Variable(), options);
          },
          {Tensor::from(random_values(2 * 5 * 4 * 2, 1, 1), {2, 5, 4, 2}),
           Tensor::from(random_values(3 * 3 * 3 * 2, 1, 2), {3, 3, 3, 2}),
           Tensor::from(random_values(3, 1, 3), {3})});
      EXPECT_LT(result.error, 1e-8) << options.stride << " " << options.padding << result.where;
    }
}

// One op and two: the same values, and the same gradients.
TEST_P(Conv2dGradTest, ReluInTheConvolutionIsReluAfterIt) {
  for (const std::int64_t groups : {1, 2, 4})
    for (const bool bias : {true, false}) {
      const auto run = [&](bool fused) {
        const Variable x(make(random_values(2 * 6 * 5 * 4, 1, 1), {2, 6, 5, 4}), true);
        const Variable w(make(random_values(8 * 9 * 4 / groups, 1, 2), {8, 3, 3, 4 / groups}),
                         true);
        const Variable b(make(random_values(8, 1, 3), {8}), true);
        const Conv2dOptions options{.padding = 1, .groups = groups, .relu = fused};
        Variable y = conv2d(x, w, bias ? b : Variable(), options);
        if (!fused) y = activation(y, Activation::relu);
        y.backward(make(random_values(2 * 6 * 5 * 8, 1, 4), {2, 6, 5, 8}));
        return std::vector{y.value(), x.grad(), w.grad(), bias ? b.grad() : y.value()};
      };
      const auto fused = run(true), apart = run(false);
      for (std::size_t i = 0; i < fused.size(); ++i) EXPECT_TRUE(same_bytes(fused[i], apart[i]));
    }
}

TEST(Conv2dGrad, MicroBatchesGiveTheBitsOfTheWholeBatch) {
  const Tensor x = Tensor::from(random_values(8 * 6 * 6 * 3), {8, 6, 6, 3}).to(DType::f32);
  const Tensor dy = Tensor::from(random_values(8 * 6 * 6 * 4, 1, 2), {8, 6, 6, 4}).to(DType::f32);
  const Tensor wv = Tensor::from(random_values(4 * 3 * 3 * 3, 1, 3), {4, 3, 3, 3}).to(DType::f32);
  const auto gradients = [&](std::int64_t part) {
    const Variable w(wv, true), b(Tensor::zeros({4}), true);
    for (std::int64_t n = 0; n < 8; n += part)
      conv2d(Variable(x.rows(n, n + part)), w, b, {1, 1}).backward(dy.rows(n, n + part));
    return std::pair(w.grad(), b.grad());
  };
  const auto [dw, db] = gradients(8);
  const auto [dw_parts, db_parts] = gradients(2);
  EXPECT_TRUE(same_bytes(dw_parts, dw));
  EXPECT_TRUE(same_bytes(db_parts, db));
}

}  // namespace
}  // namespace limbeck::testing

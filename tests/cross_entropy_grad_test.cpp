// SPDX-License-Identifier: Apache-2.0
// Tests of cross-entropy as a differentiable op.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/cross_entropy.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/row_loss.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class CrossEntropyGradTest : public DeviceTest {
 protected:
  Tensor labels(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(CrossEntropyGradTest);

// Two rows of equal logits over two classes: each loss is log 2, their mean log 2; the gradient
// (p - onehot)/2 is -+1/4, and an upstream of 8 makes it -+2.
TEST_P(CrossEntropyGradTest, HandNumbers) {
  const Variable z(make({1, 1, 5, 5}, {2, 2}), true);
  const Variable loss = cross_entropy(z, labels({0, 1}));
  EXPECT_EQ(loss.shape(), Shape({1}));
  EXPECT_EQ(loss.value().dtype(), dtype() == DType::f64 ? DType::f64 : DType::f32);
  expect_close(loss.value(), {std::log(2.0)}, tolerance());
  scale(loss, 8).backward();
  expect_close(z.grad(), {-2, 2, 2, -2}, tolerance());
}

// The ignored row counts neither in the sum nor in the mean.
TEST_P(CrossEntropyGradTest, IgnoredRows) {
  const Variable z(make({1, 1, 700, -3}, {2, 2}), true);
  const Variable loss = cross_entropy(z, labels({0, kIgnoreIndex}));
  expect_close(loss.value(), {std::log(2.0)}, tolerance());
  loss.backward();
  expect_close(z.grad(), {-0.5, 0.5, 0, 0}, tolerance());
  const Variable nothing = cross_entropy(z, labels({kIgnoreIndex, kIgnoreIndex}));
  EXPECT_EQ(nothing.value().item(), 0);
}

TEST_P(CrossEntropyGradTest, MicroBatchesAddUpToTheWhole) {
  const Tensor z = make(random_values(40, 3), {8, 5});
  const Tensor label = labels({0, 1, 2, 3, 4, kIgnoreIndex, 1, 0});
  const Variable whole(z, true), parts(z, true);
  const Variable loss = cross_entropy(whole, label);
  loss.backward();
  double total = 0;
  std::vector<double> gradient;
  for (const std::int64_t n : {0, 4}) {
    const Variable part(z.rows(n, n + 4), true);
    const Variable l = cross_entropy(part, label.rows(n, n + 4), {.mean_over = 7});
    l.backward();
    total += l.value().item();
    for (const double g : to_doubles(part.grad())) gradient.push_back(g);
  }
  expect_close({total}, to_doubles(loss.value()), tolerance());
  EXPECT_EQ(gradient, to_doubles(whole.grad()));
}

TEST(CrossEntropyGrad, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor labels = Tensor::from<std::int32_t>({2, 0, kIgnoreIndex, 4}, {4});
  const GradCheckResult result =
      grad_check([&](std::span<const Variable> v) { return cross_entropy(v[0], labels); },
                 {Tensor::from(random_values(20, 3), {4, 5})});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

// Summed in row order: ((1e8 + 1) - 1e8) + 1 is 1 in f32, where 1e8 + 1 rounds to 1e8.
TEST(CrossEntropyGrad, RowsAreSummedInTheirOrder) {
  const Variable z(Tensor::zeros({4, 1}), true);
  const Tensor losses = Tensor::from<float>({1e8f, 1.0f, -1e8f, 1.0f}, {4});
  EXPECT_EQ(row_loss("test", z, losses, Tensor(), 1).value().item(), 1);
}

TEST(CrossEntropyGrad, CountedRows) {
  EXPECT_EQ(counted_rows(Tensor(), 5), 5);
  EXPECT_EQ(counted_rows(Tensor::from<std::int32_t>({1, kIgnoreIndex, 0}, {3}), 3), 2);
  EXPECT_EQ(counted_rows(Tensor::from<std::int32_t>({kIgnoreIndex}, {1}), 1), 1);
}

TEST(CrossEntropyGrad, Rejections) {
  expect_error([] { cross_entropy(Variable(Tensor::zeros({3})), Tensor()); },
               "cross_entropy: logits have shape (3); expected (N,V)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Hints: features of a layer, through an adapter or as they are.
#include <limbeck/distill/hint.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/tests/feature_loss_test.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

using HintTest = FeatureLossTest;
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(HintTest);

// Errors 1, -2, 0, 3: 14/4, gradient e/2.
TEST_P(HintTest, HandNumbersWithoutAdapter) {
  Hint technique({2}, {2}, {.adapter = std::nullopt}, dtype(), device());
  const Outcome r = compare(technique, make({1, 0, 2, 5}, {2, 2}), make({0, 2, 2, 2}, {2, 2}));
  expect_close(r.loss.value(), {3.5}, tolerance());
  expect_close(r.gradient, {0.5, -1, 0, 1.5}, tolerance());
  EXPECT_TRUE(technique.parameters().empty());
  EXPECT_EQ(technique.code_shape(), (Shape{1, 2}));
  EXPECT_EQ(technique.describe(), "hint(2 -> 2, no adapter)");
}

TEST_P(HintTest, TheAdapterMakesItAsWide) {
  Hint technique({4, 4, 3}, {2, 2, 5}, {.seed = 3}, dtype(), device());
  const Tensor s = random({2, 4, 4, 3}, 1), t = random({2, 2, 2, 5}, 2);
  const Outcome r = compare(technique, s, t);
  const auto adapter = technique.parameters();
  ASSERT_EQ(adapter[0].name, "adapter.weight");
  const Variable w(adapter[0].value.value(), true), b(adapter[1].value.value(), true), tap(s, true);
  const Variable gap = sub(linear(tap_rows(tap, {2, 2}), w, b), Variable(t.reshape({8, 5})));
  const Variable loss = mean(mul(gap, gap));
  loss.backward();
  expect_close(r.loss.value(), to_doubles(loss.value()), 4 * tolerance());
  expect_close(r.gradient, to_doubles(tap.grad()), 8 * tolerance());
  expect_close(adapter[0].value.grad(), to_doubles(w.grad()), 8 * tolerance());
  expect_close(adapter[1].value.grad(), to_doubles(b.grad()), 8 * tolerance());
}

TEST_P(HintTest, PartsOfABatchAddUpAndTheSourceGetsNoGradient) {
  Hint hint({3, 2}, {3, 4}, {}, dtype(), device());
  expect_parts_add_up(hint, random({5, 3, 2}, 1), random({5, 3, 4}, 2));
}

TEST(Hint, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(2 * 6 * 3, 1, 1), {2, 2, 3, 3});
  const Tensor t = Tensor::from(random_values(2 * 6 * 5, 1, 2), {2, 2, 3, 5});
  Hint hint({2, 3, 3}, {2, 3, 5}, {.adapter = AdapterKind::vid}, DType::f64);
  const auto result = grad_check([&](auto v) { return hint.loss(v[0], hint.encode(t), 2); }, {s});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(Hint, Rejections) {
  expect_error([] { Hint({2}, {3}, {.adapter = std::nullopt}); },
               "hint: taps are (2) and (3), without an adapter; expected as many channels");
  Hint hint({2}, {3});
  expect_error([&] { hint.encode(Tensor::zeros({4, 2})); }, "hint: source's tap has shape (4,2)");
  expect_error(
      [&] {
        hint.loss(Variable(Tensor::zeros({4, 2})), Tensor::zeros({4, 1, 2}), 4);
      },
      "hint: code has shape (4,1,2)");
}

}  // namespace
}  // namespace limbeck::testing

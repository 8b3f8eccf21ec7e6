// SPDX-License-Identifier: Apache-2.0
// Hints and attention transfer.
#include <limbeck/distill/hint.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/distill/attention_transfer.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class HintTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(HintTest);

struct Outcome {
  Variable loss;
  Tensor gradient;
};

Outcome compare(FeatureLoss& technique, const Tensor& receiver, const Tensor& source) {
  const Variable tap(receiver, true);
  const Variable loss =
      technique.loss(tap, technique.encode(source), static_cast<double>(receiver.dim(0)));
  loss.backward();
  return {loss, tap.grad()};
}

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

// One channel (1,2) and two channels (1,1;1,0): q = (1,4) and (2,1), u_S = (1,4)/sqrt 17, u_T =
// (2,1)/sqrt 5. The loss is (2 - 2 u_S.u_T)/2 = 1 - 6/sqrt 85.
TEST_P(HintTest, AttentionHandNumbers) {
  AttentionTransfer technique({2, 1}, {2, 2});
  const Tensor source = make({1, 1, 1, 0}, {1, 2, 2});
  expect_close(technique.encode(source), {2 / std::sqrt(5), 1 / std::sqrt(5)}, 2 * tolerance());
  const Outcome r = compare(technique, make({1, 2}, {1, 2, 1}), source);
  expect_close(r.loss.value(), {1 - 6 / std::sqrt(85)}, 8 * tolerance());
  // dloss/dq = -(u_T - u_S (u_S.u_T)) / sqrt 17; across u_S: times 2 x.
  const double along = 6 / std::sqrt(85), size = std::sqrt(17);
  expect_close(r.gradient,
               {-(2 / std::sqrt(5) - along / size) / size * 2,
                -(1 / std::sqrt(5) - along * 4 / size) / size * 4},
               8 * tolerance());
  EXPECT_EQ(technique.describe(), "attention_transfer(2x1)");
}

TEST_P(HintTest, AttentionAgreesWithThePaperInPyTorch) {
  const Fixture fixture("relations", "attention");
  const auto enter = [&](const char* key) {
    return swap_channels(fixture[key], true).to(dtype()).to(device());
  };
  AttentionTransfer technique({2, 3, 4}, {2, 3, 6});
  const Outcome r = compare(technique, enter("x0"), enter("t"));
  expect_close(r.loss.value(), to_doubles(fixture["y"]), 1e-5);
  const Tensor gradient = r.gradient.to(Device::cpu()).to(DType::f32);
  expect_close(swap_channels(gradient, false), to_doubles(fixture["dx0"]), 1e-4);
}

TEST_P(HintTest, AttentionKnowsNoStrengthAndNoChannels) {
  AttentionTransfer technique({2, 2, 3}, {2, 2, 6});
  const Tensor s = random({2, 2, 2, 3}, 1);
  std::vector<double> doubled;  // every channel twice, five times as strong
  for (const double v : to_doubles(s)) doubled.insert(doubled.end(), {5 * v, -5 * v});
  const Outcome r = compare(technique, s, make(doubled, {2, 2, 2, 6}));
  EXPECT_NEAR(r.loss.value().item(), 0, 4 * tolerance());
  expect_close(r.gradient, std::vector<double>(24, 0), 8 * tolerance());
}

TEST_P(HintTest, PartsOfABatchAddUpAndTheSourceGetsNoGradient) {
  const Tensor s = random({5, 3, 2}, 1), t = random({5, 3, 4}, 2);
  Hint hint({3, 2}, {3, 4}, {}, dtype(), device());
  AttentionTransfer attention({3, 2}, {3, 4});
  for (FeatureLoss* technique :
       {static_cast<FeatureLoss*>(&hint), static_cast<FeatureLoss*>(&attention)}) {
    EXPECT_TRUE(technique->per_sample());
    const Variable all(s, true), first(s.rows(0, 2), true), rest(s.rows(2, 5), true);
    const Variable source(t, true);
    technique->loss(all, technique->encode(source.value()), 5).backward();
    technique->loss(first, technique->encode(t.rows(0, 2)), 5).backward();
    technique->loss(rest, technique->encode(t.rows(2, 5)), 5).backward();
    EXPECT_TRUE(same_bytes(first.grad(), all.grad().rows(0, 2)));
    EXPECT_TRUE(same_bytes(rest.grad(), all.grad().rows(2, 5)));
    EXPECT_FALSE(source.grad().defined());
  }
}

TEST(Hint, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(2 * 6 * 3, 1, 1), {2, 2, 3, 3});
  const Tensor t = Tensor::from(random_values(2 * 6 * 5, 1, 2), {2, 2, 3, 5});
  Hint hint({2, 3, 3}, {2, 3, 5}, {.adapter = AdapterKind::vid}, DType::f64);
  AttentionTransfer attention({2, 3, 3}, {2, 3, 5});
  for (FeatureLoss* technique :
       {static_cast<FeatureLoss*>(&hint), static_cast<FeatureLoss*>(&attention)}) {
    const auto result =
        grad_check([&](auto v) { return technique->loss(v[0], technique->encode(t), 2); }, {s});
    EXPECT_LT(result.error, 1e-6) << technique->describe() << ": " << result.where;
  }
}

TEST(Hint, Rejections) {
  expect_error([] { Hint({2}, {3}, {.adapter = std::nullopt}); },
               "hint: taps are (2) and (3), without an adapter; expected as many channels");
  expect_error([] { AttentionTransfer({4}, {4}); },
               "attention_transfer: taps are (4) and (4); expected images or sequences");
  Hint hint({2}, {3});
  AttentionTransfer attention({2, 2}, {2, 3});
  expect_error([&] { hint.encode(Tensor::zeros({4, 2})); }, "hint: source's tap has shape (4,2)");
  expect_error(
      [&] {
        hint.loss(Variable(Tensor::zeros({4, 2})), Tensor::zeros({4, 1, 2}), 4);
      },
      "hint: code has shape (4,1,2)");
  expect_error(
      [&] {
        attention.encode(Tensor::zeros({4, 2, 2}));
      },
      "attention_transfer: source's tap has shape (4,2,2)");
  expect_error(
      [&] {
        attention.loss(Variable(Tensor::zeros({4, 2, 2})), Tensor::zeros({4, 3}), 4);
      },
      "attention_transfer: code has shape (4,3)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Attention transfer: where a layer is strong, whatever its channels.
#include <limbeck/distill/attention_transfer.h>

#include <cmath>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/feature_loss_test.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

using AttentionTransferTest = FeatureLossTest;
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(AttentionTransferTest);

// One channel (1,2) and two channels (1,1;1,0): q = (1,4) and (2,1), u_S = (1,4)/sqrt 17, u_T =
// (2,1)/sqrt 5. The loss is (2 - 2 u_S.u_T)/2 = 1 - 6/sqrt 85.
TEST_P(AttentionTransferTest, HandNumbers) {
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

TEST_P(AttentionTransferTest, AgreesWithThePaperInPyTorch) {
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

TEST_P(AttentionTransferTest, KnowsNoStrengthAndNoChannels) {
  AttentionTransfer technique({2, 2, 3}, {2, 2, 6});
  const Tensor s = random({2, 2, 2, 3}, 1);
  std::vector<double> doubled;  // every channel twice, five times as strong
  for (const double v : to_doubles(s)) doubled.insert(doubled.end(), {5 * v, -5 * v});
  const Outcome r = compare(technique, s, make(doubled, {2, 2, 2, 6}));
  EXPECT_NEAR(r.loss.value().item(), 0, 4 * tolerance());
  expect_close(r.gradient, std::vector<double>(24, 0), 8 * tolerance());
}

TEST_P(AttentionTransferTest, PartsOfABatchAddUpAndTheSourceGetsNoGradient) {
  AttentionTransfer attention({3, 2}, {3, 4});
  expect_parts_add_up(attention, random({5, 3, 2}, 1), random({5, 3, 4}, 2));
}

TEST(AttentionTransfer, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(2 * 6 * 3, 1, 1), {2, 2, 3, 3});
  const Tensor t = Tensor::from(random_values(2 * 6 * 5, 1, 2), {2, 2, 3, 5});
  AttentionTransfer attention({2, 3, 3}, {2, 3, 5});
  const auto result =
      grad_check([&](auto v) { return attention.loss(v[0], attention.encode(t), 2); }, {s});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(AttentionTransfer, Rejections) {
  expect_error([] { AttentionTransfer({4}, {4}); },
               "attention_transfer: taps are (4) and (4); expected images or sequences");
  AttentionTransfer attention({2, 2}, {2, 3});
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

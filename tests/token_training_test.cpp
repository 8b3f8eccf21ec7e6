// SPDX-License-Identifier: Apache-2.0
// Language models in the trainer and under measure: a label at every step, some that do not count.
#include <cmath>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/same_bits.h>
#include <limbeck/tests/small_text.h>

namespace limbeck::testing {
namespace {

class TokenTraining : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Losses, TokenTraining, ::testing::Values(false, true),
                         [](const auto& loss) { return loss.param ? "teacher" : "labels"; });

TEST_P(TokenTraining, SameForAnyThreadsAndInstructionSet) {
  expect_same_bits([&] {
    SmallTextRun run(GetParam());
    run.trainer().run();
    std::vector<Tensor> weights;
    for (const NamedParameter& p : run.student->parameters()) weights.push_back(p.value.value());
    return weights;
  });
}

TEST_P(TokenTraining, EndsNearTheSameWeightsOnAGpu) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  SmallTextRun cpu(GetParam()), gpu(GetParam(), Device::cuda());
  for (SmallTextRun* run : {&cpu, &gpu}) {
    run->options.recipe.epochs = 1;
    run->trainer().run();
  }
  // Four AdamW steps of 0.02 turn a gradient's rounding into at most some 1e-3 of the weights.
  const auto expected = cpu.student->parameters(), actual = gpu.student->parameters();
  for (std::size_t i = 0; i < expected.size(); ++i)
    expect_close(actual[i].value.value(), to_doubles(expected[i].value.value()), 1e-3,
                 expected[i].name);
}

// What every machine must get. A change here is a change of what limbeck computes: say why.
TEST(TokenTraining, EndsInTheCommittedDigests) {
  EXPECT_EQ(digest_after_reading(false), "1bd05259999f17bdf7445de86a89fda0");
  EXPECT_EQ(digest_after_reading(true), "81b9b028dfcbe57f17da0fb1d4d00d8b");
}

TEST_P(TokenTraining, SameForAnySplitOfTheBatch) {
  const std::string whole = digest_after_reading(GetParam());
  EXPECT_EQ(digest_after_reading(GetParam(), 2), whole);
  EXPECT_EQ(digest_after_reading(GetParam(), 5), whole);  // parts of 7 windows, the last of 4
}

TEST(TokenTraining, FindsTheLanguagesEntropy) {
  SmallTextRun run(false);
  run.options.recipe.epochs = 40;
  std::vector<double> losses;
  run.trainer().run([&](const Progress& p) { losses.push_back(p.loss); });
  EXPECT_NEAR(losses.front(), std::log(11.0), 0.3);  // an untrained model knows nothing
  // The rule holds with probability 3/4 + 1/44, each other token follows with 1/44: the entropy.
  const double rule = 0.75 + 1.0 / 44, other = 1.0 / 44;
  const double entropy = -rule * std::log(rule) - 10 * other * std::log(other);
  const Metrics m = evaluate(*run.student, *run.data).metrics;
  EXPECT_EQ(m.samples, 999);  // every token but the first
  EXPECT_NEAR(m.nll, entropy, 0.15);
  EXPECT_NEAR(m.accuracy, rule, 0.05);
}

TEST(TokenEvaluate, EqualsMeasureOfAllRowsThatCount) {
  SmallTextRun run(true);
  const Evaluation got = evaluate(*run.student, *run.data, run.teacher.get(), 7);
  std::vector<std::int32_t> order;
  for (std::int32_t n = 0; n < run.data->size(); ++n) order.push_back(n);
  run.data->begin_epoch(order, 0);
  const Batch all = run.data->fetch(0, run.data->size(), 0);
  const std::int64_t rows = 999;  // all but the padded last step
  const auto flat = [&](Module& model) {
    return infer(model, all.x).reshape({1000, kSmallVocabulary}).rows(0, rows);
  };
  const Tensor labels = all.labels.reshape({1000}).rows(0, rows);
  const Metrics expected = measure(flat(*run.student), labels);
  EXPECT_EQ(got.metrics.samples, rows);
  EXPECT_EQ(got.metrics.errors, expected.errors);
  EXPECT_EQ(got.metrics.nll, expected.nll);  // the same doubles in the same order
  EXPECT_EQ(got.metrics.ece, expected.ece);
  const Fidelity likeness = measure_fidelity(flat(*run.student), flat(*run.teacher), labels);
  ASSERT_TRUE(got.fidelity.has_value());
  EXPECT_EQ(got.fidelity->agreement, likeness.agreement);
  EXPECT_EQ(got.fidelity->forward_kl, likeness.forward_kl);
  EXPECT_EQ(got.fidelity->reverse_kl, likeness.reverse_kl);
  EXPECT_FALSE(evaluate(*run.student, *run.data).fidelity.has_value());
}

TEST(TokenEvaluate, Rejections) {
  SmallTextRun run(false);
  expect_error([&] { evaluate(*run.student, *run.data, nullptr, 0); },
               "evaluate: batch is 0; expected at least 1");
  class Last : public Module {  // one row of logits per window
   public:
    Variable forward(const Variable& x, Context&) override {
      return Variable(Tensor::zeros({x.shape()[0], kSmallVocabulary}));
    }
    Shape output_shape(const Shape& in) const override { return {in[0], kSmallVocabulary}; }
    std::string describe() const override { return "Last"; }
  } last;
  expect_error([&] { evaluate(last, *run.data, nullptr, 2); },
               "logits have shape (2,11), labels (2,8); expected a row of logits for every label");
  expect_error(
      [&] {
        measure(Tensor::zeros({2, 2}),
                Tensor::from(std::vector<std::int32_t>(2, kIgnoreIndex), {2}));
      },
      "measure: no label counts; expected at least one");
}

TEST(MetricsMeter, IgnoresRowsThatDoNotCount) {
  MetricsMeter meter;
  const Tensor z = Tensor::from(std::vector<float>{3, 0, 0, 9, 1, 0}, {3, 2});
  meter.add(z, Tensor::from(std::vector<std::int32_t>{0, kIgnoreIndex, 1}, {3}));
  const Metrics m = meter.result();
  EXPECT_EQ(m.samples, 2);
  EXPECT_EQ(m.errors, 1);
  EXPECT_NEAR(m.nll, (std::log1p(std::exp(-3.0)) + std::log1p(std::exp(1.0))) / 2, 1e-12);
  FidelityMeter fidelity;
  fidelity.add(z, z, Tensor::from(std::vector<std::int32_t>{0, kIgnoreIndex, 1}, {3}));
  EXPECT_EQ(fidelity.result().baseline, 0.25);
}

}  // namespace
}  // namespace limbeck::testing

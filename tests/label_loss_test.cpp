// SPDX-License-Identifier: Apache-2.0
// Labels of mixtures, smoothed labels, and both beside a teacher.
#include <limbeck/distill/label_loss.h>

#include <cmath>

#include <limbeck/distill/lesson.h>
#include <limbeck/tests/same_bits.h>
#include <limbeck/tests/small_run.h>

namespace limbeck::testing {
namespace {

Tensor labels_of(const std::vector<std::int32_t>& values) {
  return Tensor::from(values, {static_cast<std::int64_t>(values.size())});
}

constexpr std::int64_t kRows = 4, kClasses = 5;

/// Four rows of two labels each.
Batch mixture(double weight) {
  Batch batch;
  batch.labels = labels_of({0, 1, 2, 3});
  batch.other_labels = labels_of({3, 1, 4, 0});
  batch.label_weight = weight;
  batch.targets = kRows;
  return batch;
}
/// The same with one of its labels alone.
Batch plain(const Tensor& labels) {
  Batch batch;
  batch.labels = labels;
  batch.targets = kRows;
  return batch;
}

Tensor logits_of(std::uint64_t seed) {
  return Tensor::from(random_values(kRows * kClasses, 3, seed), {kRows, kClasses});
}

/// A loss and its gradient after each other.
template <class Loss>
std::vector<double> both(Loss loss) {
  const Variable logits(logits_of(1), true);
  const Variable value = loss(logits);
  value.backward();
  std::vector<double> found = {value.value().item()};
  for (const double g : to_doubles(logits.grad())) found.push_back(g);
  return found;
}

std::vector<double> blend(double weight, const std::vector<double>& a,
                          const std::vector<double>& b) {
  std::vector<double> sum;
  for (std::size_t i = 0; i < a.size(); ++i) sum.push_back(weight * a[i] + (1 - weight) * b[i]);
  return sum;
}

// Probabilities 1/4 and 3/4: a quarter of log 4 and three of log 4/3.
TEST(LabelLoss, HandNumbers) {
  Batch batch;
  batch.labels = labels_of({0});
  batch.other_labels = labels_of({1});
  batch.label_weight = 0.25;
  batch.targets = 1;
  const Variable logits(Tensor::from(std::vector<double>{0, std::log(3.0)}, {1, 2}));
  EXPECT_NEAR(label_loss(logits, batch).value().item(),
              0.25 * std::log(4.0) + 0.75 * std::log(4.0 / 3), 1e-12);
}

// The gradient is (softmax - q) / rows with q the labels' weights, smoothed: a law of cross-entropy
// against any distribution q.
TEST(LabelLoss, TheGradientIsThatOfTheMixedTarget) {
  const double weight = 0.7, smoothing = 0.2;
  const Batch batch = mixture(weight);
  const auto found = both([&](const Variable& z) { return label_loss(z, batch, smoothing); });
  const auto z = to_doubles(logits_of(1));
  const auto own = batch.labels.to_vector<std::int32_t>();
  const auto other = batch.other_labels.to_vector<std::int32_t>();
  double loss = 0;
  std::vector<double> gradient;
  for (std::size_t n = 0; n < kRows; ++n) {
    double sum = 0;
    for (std::size_t v = 0; v < kClasses; ++v) sum += std::exp(z[n * kClasses + v]);
    for (std::size_t v = 0; v < kClasses; ++v) {
      const auto is = [&](std::int32_t label) { return static_cast<std::size_t>(label) == v; };
      const double q = (1 - smoothing) * (weight * is(own[n]) + (1 - weight) * is(other[n])) +
                       smoothing / kClasses;
      const double p = std::exp(z[n * kClasses + v]) / sum;
      loss -= q * std::log(p) / kRows;
      gradient.push_back((p - q) / kRows);
    }
  }
  gradient.insert(gradient.begin(), loss);
  expect_close(found, gradient, 1e-12);
}

/// With every kind of term, those that read labels among them.
Lesson taught() {
  return {.sources = {0},
          .logits = KdLossOptions{.tau = 3,
                                  .kd_weight = 0.5,
                                  .ce_weight = 0.3,
                                  .reverse_kl_weight = 0.2,
                                  .tckd_weight = 0.4,
                                  .nckd_weight = 0.6}};
}

std::vector<double> lesson_of(const Lesson& lesson, const Batch& batch, double smoothing = 0) {
  const View teacher = {.logits = Variable(logits_of(2)), .taps = {}};
  return both([&](const Variable& z) {
    return lesson_loss(lesson, {}, {.logits = z, .taps = {}}, {&teacher}, batch, kRows, smoothing);
  });
}

// Every term is linear in what the label weighs, or does not read it.
TEST(LabelLoss, ALessonOfAMixtureIsTheMixtureOfTwo) {
  for (const double weight : {0.0, 0.3, 1.0}) {
    const Batch mixed = mixture(weight);
    expect_close(lesson_of(taught(), mixed),
                 blend(weight, lesson_of(taught(), plain(mixed.labels)),
                       lesson_of(taught(), plain(mixed.other_labels))),
                 1e-12);
  }
}

TEST(LabelLoss, SmoothingIsOfALessonsCrossEntropyAlone) {
  Lesson soft = taught();
  soft.logits->ce_weight = 0;
  const Batch batch = mixture(0.3);
  const auto smooth = both([&](const Variable& z) { return label_loss(z, batch, 0.1); });
  std::vector<double> expected = lesson_of(soft, batch);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += 0.3 * smooth[i];
  expect_close(lesson_of(taught(), batch, 0.1), expected, 1e-12);
  Lesson labels_only = taught();
  labels_only.logits = KdLossOptions{.tau = 1, .kd_weight = 0, .ce_weight = 2};
  for (double& s : expected) s = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = 2 * smooth[i];
  expect_close(lesson_of(labels_only, batch, 0.1), expected, 1e-12);
}

std::string mixed_digest(SmallLoss loss, const MixOptions& mix, double smoothing,
                         std::int64_t accumulate = 1) {
  SmallRun run(loss);
  run.options.recipe.augment.mix = mix;
  run.options.recipe.label_smoothing = smoothing;
  run.options.recipe.accumulate = accumulate;
  run.trainer().run();
  return run.digest();
}

TEST(LabelLoss, TrainsToTheSameBitsForAnySplitOfTheBatch) {
  for (const SmallLoss loss : {SmallLoss::labels, SmallLoss::teacher}) {
    const MixOptions mix = {.mixup = 0.4, .cutmix = 1};
    const std::string whole = mixed_digest(loss, mix, 0.1);
    EXPECT_EQ(mixed_digest(loss, mix, 0.1, 3), whole);
    EXPECT_NE(mixed_digest(loss, mix, 0), whole);
    EXPECT_NE(mixed_digest(loss, {}, 0.1), whole);
    EXPECT_EQ(mixed_digest(loss, {}, 0), digest_after_training(loss));
  }
}

// Equal models of equal inputs have equal logits, whose divergence is exactly 0.
TEST(LabelLoss, TeacherAndStudentSeeTheSameMixtures) {
  SmallRun run(SmallLoss::teacher);
  run.student = build_model({{28, 28, 1}, {layer("linear", 10)}}, 2);  // the teacher's weights
  run.options.recipe.augment.mix = {.mixup = 1, .cutmix = 1};
  run.options.recipe.schedule.lr = 0;
  run.options.distill->ce_weight = 0;
  run.options.report_every = 1;
  std::vector<double> losses;
  run.trainer().run([&](const Progress& p) { losses.push_back(p.loss); });
  EXPECT_EQ(losses, std::vector<double>(9, 0));
}

TEST(LabelLoss, LogitsComputedBeforeAreOfImagesThatAreNotMixed) {
  expect_error([] { mixed_digest(SmallLoss::teacher_logits, {.mixup = 1}, 0); },
               "teacher logits computed before for data that is augmented");
}

}  // namespace
}  // namespace limbeck::testing

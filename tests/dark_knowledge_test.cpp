// SPDX-License-Identifier: Apache-2.0
// Tests of what is measured of the classes that are not the label.
#include <limbeck/distill/dark_knowledge.h>

#include <limbeck/distill/bias_sweep.h>
#include <limbeck/distill/logit_rows.h>
#include <limbeck/distill/top_classes.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

Tensor logits(const std::vector<double>& p, const Shape& shape) {
  std::vector<double> z;
  for (const double v : p) z.push_back(std::log(v));
  return Tensor::from(z, shape);
}

Tensor labels(const std::vector<std::int32_t>& values) {
  return Tensor::from(values, Shape{static_cast<std::int64_t>(values.size())});
}

DarkKnowledge dark(const Tensor& student, const Tensor& teacher, const Tensor& y, double tau) {
  DarkKnowledgeMeter meter(student.dim(1), tau);
  meter.add(student, teacher, y);
  return meter.result();
}

TEST(DarkKnowledge, HandNumbers) {
  // Without class 0 the teacher has (3/4, 1/4), the student (1/2, 1/2). The other row is masked.
  const Tensor teacher = logits({.2, .6, .2, .1, .1, .8}, {2, 3});
  const Tensor student = logits({.4, .3, .3, .8, .1, .1}, {2, 3});
  const DarkKnowledge d = dark(student, teacher, labels({0, -100}), 1);
  EXPECT_NEAR(d.nckd, .75 * std::log(1.5) + .25 * std::log(.5), 1e-14);
  EXPECT_NEAR(d.student_entropy, std::log(2.0), 1e-14);
  EXPECT_NEAR(d.teacher_entropy, -.75 * std::log(.75) - .25 * std::log(.25), 1e-14);
  EXPECT_NEAR(d.student_mass, .6, 1e-14);
  EXPECT_NEAR(d.teacher_mass, .8, 1e-14);
  // Student less teacher: log(2, 1/2, 3/2), less its mean log(3/2)/3.
  const double mean = std::log(1.5) / 3;
  expect_close(d.logit_gap, {std::log(2.0) - mean, std::log(.5) - mean, std::log(1.5) - mean},
               1e-14);
  EXPECT_EQ(d.tau, 1);
}

// KL(pt || ps) is that of (label, rest) plus (1 - pt_label) NCKD (Zhao et al. 2022).
TEST(DarkKnowledge, KlComesApart) {
  const Tensor student = Tensor::from(random_values(6, 2, 1), {1, 6});
  const Tensor teacher = Tensor::from(random_values(6, 2, 2), {1, 6});
  for (const double tau : {1.0, 4.0}) {
    const DarkKnowledge d = dark(student, teacher, labels({2}), tau);
    const std::vector<double> ps = softmax_of_row(student.data<double>(), 6, tau);
    const std::vector<double> pt = softmax_of_row(teacher.data<double>(), 6, tau);
    double kl = 0;
    for (std::size_t v = 0; v < 6; ++v) kl += pt[v] * std::log(pt[v] / ps[v]);
    const double binary =
        pt[2] * std::log(pt[2] / ps[2]) + (1 - pt[2]) * std::log((1 - pt[2]) / (1 - ps[2]));
    EXPECT_NEAR(binary + d.teacher_mass * d.nckd, kl, 1e-13);
  }
}

TEST(DarkKnowledge, OfATwinAndOfTheLabelAlone) {
  const Tensor z = Tensor::from(random_values(30 * 5, 3), {30, 5});
  const Tensor y = Tensor::zeros({30}, DType::i32);
  EXPECT_EQ(dark(z, z, y, 4).nckd, 0);
  // The label's logit has no part in NCKD, a constant none in anything.
  Tensor moved = z.clone();
  for (std::int64_t i = 0; i < 30; ++i) {
    moved.data<double>()[i * 5] += 3;
    for (std::int64_t v = 0; v < 5; ++v) moved.data<double>()[i * 5 + v] += 7;
  }
  const DarkKnowledge d = dark(moved, z, y, 4);
  EXPECT_NEAR(d.nckd, 0, 1e-15);
  EXPECT_NEAR(d.logit_gap[0], 3 - 3.0 / 5, 1e-13);
  EXPECT_GT(d.teacher_mass, d.student_mass);
  // A hopelessly certain model keeps what little it leaves: 2 e^-40, not 0.
  const DarkKnowledge sure = dark(Tensor::from<double>({40, 0, 0}, {1, 3}),
                                  Tensor::from<double>({40, 0, 0}, {1, 3}), labels({0}), 1);
  EXPECT_NEAR(sure.student_mass / (2 * std::exp(-40.0)), 1, 1e-12);
}

TEST(ClassBiases, AreSweepsOfOneClass) {
  const Tensor z = Tensor::from(random_values(50 * 4, 2), {50, 4});
  std::vector<std::int32_t> y;
  for (int i = 0; i < 50; ++i) y.push_back(i % 4);
  // Class 2 is held down by 5, as in a student that never saw it.
  Tensor held = z.clone();
  for (std::int64_t i = 0; i < 50; ++i) {
    held.data<double>()[i * 4 + i % 4] += 2;
    held.data<double>()[i * 4 + 2] -= 5;
  }
  const std::vector<ClassBias> biases = class_biases(held, labels(y));
  ASSERT_EQ(biases.size(), 4u);
  EXPECT_GT(biases[2].offset, 2);
  EXPECT_GE(biases[2].errors_saved, 5);
  for (std::size_t c = 0; c < 4; ++c) {
    const BiasSweep sweep = sweep_bias(held, labels(y), {static_cast<std::int64_t>(c)});
    EXPECT_EQ(biases[c].offset, sweep.offset);
    EXPECT_EQ(biases[c].errors_saved, sweep.as_is.all - sweep.best.all);
  }
}

TEST(TopClasses, OfBothModelsAndTheLabel) {
  const Tensor student = logits({.5, .1, .1, .1, .2}, {5});
  const Tensor teacher = logits({.2, .4, .3, .06, .04}, {5});
  const std::vector<ClassView> views = top_classes(student, teacher, 1, 2, 3);
  ASSERT_EQ(views.size(), 5u);  // 1, 2 the teacher's; 0, 4 the student's; 3 the label
  const std::vector<std::int64_t> order = {1, 2, 0, 3, 4};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(views[i].label, order[i]);
  EXPECT_NEAR(views[2].student, .5, 1e-14);
  EXPECT_NEAR(views[2].teacher, .2, 1e-14);
  EXPECT_EQ(top_classes(student, teacher, 1, 1).size(), 2u);
  EXPECT_EQ(top_classes(student, student, 1, 99).size(), 5u);
  // At tau = 2 probabilities go with their square roots.
  double sum = 0;
  for (const double p : {.2, .4, .3, .06, .04}) sum += std::sqrt(p);
  EXPECT_NEAR(top_classes(student, teacher, 2, 1)[0].teacher, std::sqrt(.4) / sum, 1e-14);
}

TEST(DarkKnowledge, Rejections) {
  expect_error([] { DarkKnowledgeMeter(1, 4); }, "dark_knowledge: 1 classes; expected at least 2");
  expect_error([] { DarkKnowledgeMeter(3, 0); }, "dark_knowledge: tau is 0; expected above 0");
  DarkKnowledgeMeter meter(3, 1);
  expect_error([&] { meter.result(); }, "dark_knowledge: no label counts");
  const Tensor z = Tensor::zeros({1, 2});
  expect_error([&] { meter.add(z, z, labels({0})); },
               "dark_knowledge: logits of 2 classes; expected 3");
  expect_error([&] { top_classes(z, z, 1); }, "top_classes: logits are f32 (1,2) and f32 (1,2)");
  const Tensor row = Tensor::zeros({2});
  expect_error([&] { top_classes(row, row, -1); }, "top_classes: tau is -1; expected above 0");
  expect_error([&] { top_classes(row, row, 1, 5, 2); }, "top_classes: label 2; expected below 2");
}

}  // namespace
}  // namespace limbeck::testing

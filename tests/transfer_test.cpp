// SPDX-License-Identifier: Apache-2.0
// Tests of all measures of a student's logits in one pass.
#include <limbeck/distill/transfer.h>

#include <limbeck/distill/evaluate.h>
#include <limbeck/distill/image_source.h>
#include <limbeck/nn/model.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/small_text.h>

namespace limbeck::testing {
namespace {

Tensor labels_of(std::int64_t n, std::int32_t classes) {
  std::vector<std::int32_t> y;
  for (std::int64_t i = 0; i < n; ++i) y.push_back(static_cast<std::int32_t>(i * i % classes));
  return Tensor::from(y, {n});
}

TEST(Transfer, IsWhatItsMetersSay) {
  const Tensor s = Tensor::from(random_values(30 * 5, 3, 1), {30, 5});
  const Tensor t = Tensor::from(random_values(30 * 5, 3, 2), {30, 5});
  const Tensor y = labels_of(30, 5);
  TransferMeter meter(5, 4);
  meter.add(s.rows(0, 11), t.rows(0, 11), y.rows(0, 11));
  meter.add(s.rows(11, 30), t.rows(11, 30), y.rows(11, 30));
  const Transfer found = meter.result();
  EXPECT_EQ(found.student.metrics.nll, measure(s, y).nll);
  EXPECT_EQ(found.teacher.metrics.errors, measure(t, y).errors);
  EXPECT_EQ(found.fidelity.forward_kl, measure_fidelity(s, t, y).forward_kl);
  EXPECT_GE(found.kl.forward.max, found.fidelity.forward_kl);
  EXPECT_EQ(found.dark.tau, 4);
  EXPECT_EQ(found.confusion->samples[0] + found.confusion->samples[1] +
                found.confusion->samples[2] + found.confusion->samples[3] +
                found.confusion->samples[4],
            30);
  ASSERT_EQ(found.student.biases.size(), 5u);
  EXPECT_EQ(found.student.biases[3].offset, class_biases(s.to(DType::f32), y)[3].offset);
}

TEST(Transfer, LeavesOutWhatManyClassesDoNotAllow) {
  for (const auto& [classes, confusions, biases] :
       {std::tuple{100, true, true}, {101, true, false}, {1001, false, false}}) {
    const Tensor z = Tensor::from(random_values(4 * classes), {4, classes});
    TransferMeter meter(classes, 1);
    meter.add(z, z, labels_of(4, classes));
    const Transfer found = meter.result();
    EXPECT_EQ(found.confusion.has_value(), confusions);
    EXPECT_EQ(!found.student.biases.empty(), biases);
  }
  TransferMeter meter(3, 1);  // a NaN: numbers show it, the search for offsets is left out
  const Tensor bad = Tensor::full({2, 3}, std::nan("")), good = Tensor::zeros({2, 3});
  meter.add(bad, good, labels_of(2, 3));
  EXPECT_TRUE(meter.result().student.biases.empty());
  EXPECT_EQ(meter.result().teacher.biases.size(), 3u);
  EXPECT_TRUE(std::isnan(meter.result().kl.forward.p50));
}

TEST(VisitLogits, OfImagesPreparedForEachModel) {
  const std::int64_t N = 7;
  const Tensor pixels = Tensor::from(random_values(N * 4), {N, 2, 2, 1}).to(DType::f32);
  const Tensor y = labels_of(N, 3);
  TensorSource whole(pixels, y, 3, {.scale = 1}), halved(pixels, y, 3, {.scale = 0.5});
  LayerSpec head;
  head.type = "linear";
  head.out = 3;
  const auto student = build_model({{2, 2, 1}, {head}}, 1),
             teacher = build_model({{2, 2, 1}, {head}}, 2);
  const Tensor expected_s = predict(*student, pixels, {.scale = 1});
  const Tensor expected_t = predict(*teacher, pixels, {.scale = 0.5});
  std::int64_t next = 0;
  visit_logits(*student, whole, *teacher, halved, 3,
               [&](std::int64_t first, const Tensor& s, const Tensor& t, const Tensor& labels) {
                 const std::int64_t last = first + labels.numel();
                 EXPECT_EQ(first, next);
                 EXPECT_TRUE(same_bytes(s, expected_s.rows(first, last)));
                 EXPECT_TRUE(same_bytes(t, expected_t.rows(first, last)));
                 EXPECT_TRUE(same_bytes(labels, y.rows(first, last)));
                 next = last;
               });
  EXPECT_EQ(next, N);
  expect_error([&] { visit_logits(*student, whole, *teacher, halved, 4, {}); },
               "visit_logits: the student gives (1,3) for labels (1); expected a row of 4 logits");
  TensorSource fewer(pixels.rows(0, 6), y.rows(0, 6), 3, {});
  expect_error([&] { visit_logits(*student, whole, *teacher, fewer, 3, {}); },
               "visit_logits: 7 samples for the student, 6 for the teacher");
}

// Of text the same numbers as evaluate's.
TEST(VisitLogits, OfText) {
  const auto student = bigram_model(5, 3, Device::cpu()),
             teacher = bigram_model(9, 2, Device::cpu());
  TokenSource data(small_text(90), 8, kSmallVocabulary), again(small_text(90), 8, kSmallVocabulary);
  TransferMeter meter(kSmallVocabulary, 2);
  visit_logits(*student, data, *teacher, again, kSmallVocabulary,
               [&](std::int64_t, const Tensor& s, const Tensor& t, const Tensor& labels) {
                 meter.add(s, t, labels);
               });
  const Transfer found = meter.result();
  const Evaluation expected = evaluate(*student, data, teacher.get());
  EXPECT_EQ(found.student.metrics.samples, 89);
  EXPECT_EQ(found.student.metrics.nll, expected.metrics.nll);
  EXPECT_EQ(found.fidelity.forward_kl, expected.fidelity->forward_kl);
}

TEST(Transfer, Rejections) {
  expect_error([] { TransferMeter(1, 4); }, "dark_knowledge: 1 classes; expected at least 2");
  TransferMeter meter(3, 1);
  expect_error([&] { meter.result(); }, "measure: no label counts");
}

}  // namespace
}  // namespace limbeck::testing

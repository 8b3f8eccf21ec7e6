// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/transfer.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <limbeck/core/error.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

/// Logits of one batch are at most so many, where one sample's are not more.
constexpr std::int64_t kBatchLogits = std::int64_t{1} << 22;
constexpr std::int64_t kMaxBatch = 500;

void append_row(std::vector<float>& to, const Tensor& logits, std::int64_t row) {
  const std::int64_t V = logits.dim(1);
  const float* from = logits.data<float>() + row * V;
  to.insert(to.end(), from, from + V);
}

/// One model's logits of a batch, a row for every label.
Tensor logit_rows(const char* whose, Module& model, const Batch& batch, std::int64_t classes) {
  const Tensor y = infer(model, batch.x, batch.lengths);
  const std::int64_t rows = batch.labels.numel();
  LIMBECK_CHECK(y.numel() == rows * classes && y.dim(y.rank() - 1) == classes, "visit_logits: the ",
                whose, " gives ", y.shape(), " for labels ", batch.labels.shape(),
                "; expected a row of ", classes, " logits for every label");
  return y.reshape({rows, classes});
}

std::vector<std::int32_t> in_order(std::int64_t size) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace

TransferMeter::TransferMeter(std::int64_t classes, double tau) : V_(classes), dark_(classes, tau) {
  if (classes <= kMaxConfusionClasses) confusion_.emplace(classes);
  if (classes <= kMaxBiasClasses) kept_.emplace();
}

void TransferMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  student_.add(student, labels);
  teacher_.add(teacher, labels);
  fidelity_.add(student, teacher, labels);
  kl_.add(student, teacher, labels);
  dark_.add(student, teacher, labels);
  if (confusion_) confusion_->add(student, teacher, labels);
  if (kept_) keep(student, teacher, labels);
}

void TransferMeter::keep(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  const auto host = [](const Tensor& t) { return t.to(Device::cpu()).to(DType::f32); };
  const Tensor s = host(student), t = host(teacher);
  const std::vector<std::int32_t> y = labels.to_vector<std::int32_t>();
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (y[i] == kIgnoreIndex) continue;
    append_row(kept_->student, s, static_cast<std::int64_t>(i));
    append_row(kept_->teacher, t, static_cast<std::int64_t>(i));
    kept_->labels.push_back(y[i]);
  }
  if (static_cast<std::int64_t>(kept_->student.size()) > kMaxBiasLogits) kept_.reset();
}

std::vector<ClassBias> TransferMeter::biases(const std::vector<float>& logits) const {
  if (!std::all_of(logits.begin(), logits.end(), [](float z) { return std::isfinite(z); }))
    return {};
  const auto N = static_cast<std::int64_t>(kept_->labels.size());
  return class_biases(Tensor::from(logits, {N, V_}), Tensor::from(kept_->labels, {N}));
}

Transfer TransferMeter::result() const {
  Transfer found{.student = {student_.result(), student_.calibration(), {}},
                 .teacher = {teacher_.result(), teacher_.calibration(), {}},
                 .fidelity = fidelity_.result(),
                 .kl = kl_.result(),
                 .dark = dark_.result(),
                 .confusion = {}};
  if (confusion_) found.confusion = confusion_->result();
  if (!kept_) return found;
  found.student.biases = biases(kept_->student);
  found.teacher.biases = biases(kept_->teacher);
  return found;
}

void visit_logits(Module& student, BatchSource& student_data, Module& teacher,
                  BatchSource& teacher_data, std::int64_t classes, const LogitVisitor& visit) {
  const std::int64_t N = student_data.size();
  LIMBECK_CHECK(N >= 1 && teacher_data.size() == N, "visit_logits: ", N,
                " samples for the student, ", teacher_data.size(),
                " for the teacher; expected the same samples, one at least");
  student_data.begin_epoch(in_order(N), 0);
  teacher_data.begin_epoch(in_order(N), 0);
  std::int64_t row = 0, size = 1;  // the first batch shows how many rows a sample has
  for (std::int64_t first = 0; first < N;) {
    const std::int64_t last = std::min(first + size, N);
    const Batch batch = student_data.fetch(first, last, 0);
    const Tensor labels = batch.labels.reshape({batch.labels.numel()});
    const Tensor s = logit_rows("student", student, batch, classes);
    const Tensor t = logit_rows("teacher", teacher, teacher_data.fetch(first, last, 0), classes);
    visit(row, s, t, labels);
    row += labels.numel();
    size = std::clamp(kBatchLogits / (labels.numel() / (last - first) * classes), std::int64_t{1},
                      kMaxBatch);
    first = last;
  }
}

}  // namespace limbeck

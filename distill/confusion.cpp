// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/confusion.h>

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/distill/logit_rows.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

void add_row(std::vector<double>& sums, std::int64_t row, const std::vector<double>& p) {
  double* to = sums.data() + row * static_cast<std::int64_t>(p.size());
  for (std::size_t v = 0; v < p.size(); ++v) to[v] += p[v];
}

/// Sums of rows divided by how many they are of.
Tensor means_of_rows(std::vector<double> sums, const std::vector<std::int64_t>& counts) {
  const std::size_t V = counts.size();
  for (std::size_t i = 0; i < sums.size(); ++i)
    if (counts[i / V] > 0) sums[i] /= static_cast<double>(counts[i / V]);
  return Tensor::from(sums, {static_cast<std::int64_t>(V), static_cast<std::int64_t>(V)});
}

std::vector<double> off_diagonal(const Tensor& matrix, const std::vector<std::int64_t>& counts) {
  const std::size_t V = counts.size();
  std::vector<double> values;
  for (std::size_t i = 0; i < V * V; ++i)
    if (i / V != i % V && counts[i / V] > 0) values.push_back(matrix.data<double>()[i]);
  return values;
}

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

}  // namespace

std::optional<double> ConfusionTransfer::same_wrong_share() const {
  if (both_wrong == 0) return std::nullopt;
  return static_cast<double>(same_wrong_class) / static_cast<double>(both_wrong);
}

std::optional<double> pearson(const std::vector<double>& x, const std::vector<double>& y) {
  LIMBECK_CHECK(x.size() == y.size(), "pearson: lists of ", x.size(), " and ", y.size(),
                " values; expected equal lengths");
  if (x.size() < 2) return std::nullopt;
  const double mx = mean_of(x), my = mean_of(y);
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mx) * (x[i] - mx);
    yy += (y[i] - my) * (y[i] - my);
    xy += (x[i] - mx) * (y[i] - my);
  }
  if (xx == 0 || yy == 0) return std::nullopt;
  return xy / std::sqrt(xx * yy);
}

ConfusionMeter::ConfusionMeter(std::int64_t classes) : V_(classes) {
  LIMBECK_CHECK(classes >= 2, "confusion: ", classes, " classes; expected at least 2");
  const auto V = static_cast<std::size_t>(classes);
  student_.assign(V * V, 0.0);
  teacher_.assign(V * V, 0.0);
  samples_.assign(V, 0);
}

void ConfusionMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  check_logits("confusion", student, teacher, labels);
  LIMBECK_CHECK(student.dim(1) == V_, "confusion: logits of ", student.dim(1),
                " classes; expected ", V_);
  const std::vector<std::int32_t> y = checked_labels("confusion", labels, V_);
  const LogitRows zs(student), zt(teacher);
  for (std::int64_t i = 0; i < student.dim(0); ++i) {
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    ++samples_[static_cast<std::size_t>(label)];
    add_row(student_, label, softmax_of_row(zs[i], V_));
    add_row(teacher_, label, softmax_of_row(zt[i], V_));
    const std::int64_t s = argmax_of_row(zs[i], V_), t = argmax_of_row(zt[i], V_);
    both_wrong_ += s != label && t != label;
    same_wrong_ += s != label && s == t && s >= 0;
  }
}

ConfusionTransfer ConfusionMeter::result() const {
  ConfusionTransfer found;
  found.student = means_of_rows(student_, samples_);
  found.teacher = means_of_rows(teacher_, samples_);
  found.samples = samples_;
  found.correlation =
      pearson(off_diagonal(found.student, samples_), off_diagonal(found.teacher, samples_));
  found.both_wrong = both_wrong_;
  found.same_wrong_class = same_wrong_;
  return found;
}

}  // namespace limbeck

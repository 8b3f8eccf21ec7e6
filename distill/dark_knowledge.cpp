// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/dark_knowledge.h>

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/distill/bias_sweep.h>
#include <limbeck/distill/logit_rows.h>
#include <limbeck/kernels/cross_entropy.h>

namespace limbeck {
namespace {

/// One model's row at temperature tau without its label.
struct OtherClasses {
  std::vector<double> z;  ///< V-1 logits / tau
  double mass = 0;        ///< 1 - p_label

  OtherClasses(const double* row, std::int64_t V, std::int32_t label, double tau) {
    for (std::int64_t v = 0; v < V; ++v)
      if (v != label) z.push_back(row[v] / tau);
    const double rest = log_sum_exp(z.data(), V - 1);
    mass = 1 / (1 + std::exp(row[label] / tau - rest));  // never 1 - p: p may round to 1
  }

  double entropy() const {
    const auto classes = static_cast<std::int64_t>(z.size());
    const double lse = log_sum_exp(z.data(), classes);
    double sum = 0;
    for (const double value : z) {
      const double p = std::exp(value - lse);
      if (p != 0) sum -= p * (value - lse);
    }
    return sum < 0 ? 0 : sum;
  }
};

double mean_of_row(const double* z, std::int64_t V) {
  double sum = 0;
  for (std::int64_t v = 0; v < V; ++v) sum += z[v];
  return sum / static_cast<double>(V);
}

}  // namespace

DarkKnowledgeMeter::DarkKnowledgeMeter(std::int64_t classes, double tau) : V_(classes) {
  LIMBECK_CHECK(classes >= 2, "dark_knowledge: ", classes, " classes; expected at least 2");
  LIMBECK_CHECK(tau > 0, "dark_knowledge: tau is ", tau, "; expected above 0");
  sums_.tau = tau;
  sums_.logit_gap.assign(static_cast<std::size_t>(classes), 0.0);
}

void DarkKnowledgeMeter::add(const Tensor& student, const Tensor& teacher, const Tensor& labels) {
  check_logits("dark_knowledge", student, teacher, labels);
  LIMBECK_CHECK(student.dim(1) == V_, "dark_knowledge: logits of ", student.dim(1),
                " classes; expected ", V_);
  const std::vector<std::int32_t> y = checked_labels("dark_knowledge", labels, V_);
  const LogitRows zs(student), zt(teacher);
  for (std::int64_t i = 0; i < student.dim(0); ++i) {
    const std::int32_t label = y[static_cast<std::size_t>(i)];
    if (label == kIgnoreIndex) continue;
    const OtherClasses s(zs[i], V_, label, sums_.tau), t(zt[i], V_, label, sums_.tau);
    sums_.nckd += kl_of_rows(t.z.data(), s.z.data(), V_ - 1);
    sums_.student_entropy += s.entropy();
    sums_.teacher_entropy += t.entropy();
    sums_.student_mass += s.mass;
    sums_.teacher_mass += t.mass;
    const double lean = mean_of_row(zs[i], V_) - mean_of_row(zt[i], V_);
    for (std::int64_t v = 0; v < V_; ++v)
      sums_.logit_gap[static_cast<std::size_t>(v)] += zs[i][v] - zt[i][v] - lean;
    ++samples_;
  }
}

DarkKnowledge DarkKnowledgeMeter::result() const {
  LIMBECK_CHECK(samples_ > 0, "dark_knowledge: no label counts; expected at least one");
  DarkKnowledge mean = sums_;
  const auto n = static_cast<double>(samples_);
  for (double* value : {&mean.nckd, &mean.student_entropy, &mean.teacher_entropy,
                        &mean.student_mass, &mean.teacher_mass})
    *value /= n;
  for (double& gap : mean.logit_gap) gap /= n;
  return mean;
}

std::vector<ClassBias> class_biases(const Tensor& logits, const Tensor& labels) {
  check_logits("class_biases", logits, labels);
  std::vector<ClassBias> biases;
  for (std::int64_t c = 0; c < logits.dim(1); ++c) {
    const BiasSweep sweep = sweep_bias(logits, labels, {c});
    biases.push_back({sweep.offset, sweep.as_is.all - sweep.best.all});
  }
  return biases;
}

}  // namespace limbeck

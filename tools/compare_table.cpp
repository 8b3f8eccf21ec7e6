// SPDX-License-Identifier: Apache-2.0
// What limbeck compare shows on a terminal.
#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/tools/bound_number.h>
#include <limbeck/tools/compare.h>
#include <limbeck/tools/metrics_table.h>
#include <limbeck/tools/report.h>

namespace limbeck {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::vector<std::string> quantile_row(const std::string& name, double mean, const Quantiles& q) {
  std::vector<std::string> row = {name};
  for (const double value : {mean, q.p5, q.p25, q.p50, q.p75, q.p95, q.max})
    row.push_back(number_text(value));
  return row;
}

std::string fidelity(const Transfer& t) {
  return detail::concat(
      "agreement ", four_digits(t.fidelity.agreement),
      " (independent models of these accuracies: ", four_digits(t.fidelity.baseline), ")\n\n",
      format_table({{"nats per sample", "mean", "5 %", "25 %", "50 %", "75 %", "95 %", "most"},
                    quantile_row("KL(teacher||student)", t.fidelity.forward_kl, t.kl.forward),
                    quantile_row("KL(student||teacher)", t.fidelity.reverse_kl, t.kl.reverse)}));
}

std::string confusions(const ConfusionTransfer& c, std::int64_t classes) {
  std::string text = "confusions: ";
  text += c.correlation ? "correlation " + four_digits(*c.correlation) : "no correlation to tell";
  text +=
      detail::concat("; wrong in both ", c.both_wrong, ", in the same class ", c.same_wrong_class);
  if (const auto share = c.same_wrong_share())
    text += detail::concat(" (", four_digits(*share), ", by chance ",
                           four_digits(1.0 / static_cast<double>(classes - 1)), ")");
  return text + "\n";
}

std::string dark_knowledge(const DarkKnowledge& d, std::int64_t classes) {
  return detail::concat(
      "classes but the label at tau ", d.tau, ": NCKD ", four_digits(d.nckd), " nats, entropy ",
      four_digits(d.student_entropy), " (teacher ", four_digits(d.teacher_entropy), ", at most ",
      four_digits(std::log(static_cast<double>(classes - 1))), "), mass ",
      four_digits(d.student_mass), " (teacher ", four_digits(d.teacher_mass), ")\n");
}

/// For every layer of the student the teacher's that is most like it.
std::string layers(const LayerSimilarity& found) {
  Rows rows = {
      {"student's layer", "effective rank", "most like the teacher's", "effective rank", "CKA"}};
  const std::size_t T = found.teacher.size();
  for (std::size_t s = 0; s < found.student.size(); ++s) {
    const double* row = found.cka.data<double>() + s * T;
    std::size_t best = 0;
    for (std::size_t t = 1; t < T; ++t)
      if (row[t] > row[best]) best = t;
    rows.push_back({found.student[s], four_digits(found.student_rank[s]), found.teacher[best],
                    four_digits(found.teacher_rank[best]), four_digits(row[best])});
  }
  return detail::concat("\n", format_table(rows), "(of ", found.samples, " samples)\n");
}

/// Characters between quotes, so that a line's end is seen.
std::string shown_class(const TestSamples& samples, std::int64_t label) {
  using nlohmann::json;
  const std::string name = samples.class_name(label);
  return samples.is_text() ? json(name).dump(-1, ' ', false, json::error_handler_t::replace) : name;
}

std::string sample(const SampleView& view, const TestSamples& samples, double tau) {
  const std::string title = detail::concat(samples.is_text() ? "token " : "sample ", view.index);
  Rows rows = {{title, "student", "teacher"}};
  for (const ClassView& c : view.classes)
    rows.push_back({shown_class(samples, c.label) + (c.label == view.label ? " (label)" : ""),
                    four_digits(c.student), four_digits(c.teacher)});
  return detail::concat("\n", format_table(rows), "(probabilities at tau ", tau, ")\n");
}

std::string ledger(const LedgerView& view) {
  double nats = 0;
  std::int64_t crossed = 0;
  for (const ChannelEntry& entry : view.probe.channels) {
    nats += entry.gauss_nats / static_cast<double>(view.probe.channels.size());
    crossed += entry.gauss_nats > kCrossed;
  }
  return detail::concat("\nchannels of the teacher's ", view.teacher, " that the student's ",
                        view.student, " tells half of the variance of: ", crossed, " of ",
                        view.probe.channels.size(), "; mean ", four_digits(nats), " nats\n");
}

std::string recovery(const RecoveryView& view) {
  const RecoveryReport& r = view.report;
  std::string text = detail::concat("\nthe teacher's ", view.layer, " from ", view.K,
                                    " measurements (", measurement_name(view.matrix), ") of ",
                                    view.D, " features: ", four_digits(r.snr_db), " dB with ",
                                    r.sparsity, " nonzeros (at best ", four_digits(r.best_snr_db),
                                    "), support F1 ", four_digits(r.support_f1));
  if (!std::isnan(r.agreement)) text += ", the same first choice " + four_digits(r.agreement);
  return text + "\n";
}

}  // namespace

std::string comparison_table(const Comparison& comparison, const TestSamples& samples) {
  const Transfer& t = comparison.transfer;
  std::string text = metrics_table(
      {{"student", comparison.student_parameters, t.student.metrics, t.student.calibration.brier},
       {"teacher", comparison.teacher_parameters, t.teacher.metrics, t.teacher.calibration.brier}},
      samples);
  text += fidelity(t) + "\n";
  if (t.confusion) text += confusions(*t.confusion, samples.classes());
  text += dark_knowledge(t.dark, samples.classes());
  if (comparison.layers) text += layers(*comparison.layers);
  if (comparison.ledger) text += ledger(*comparison.ledger);
  if (comparison.recovery) text += recovery(*comparison.recovery);
  for (const SampleView& view : comparison.samples) text += sample(view, samples, t.dark.tau);
  return text;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/metrics_table.h>

#include <cmath>
#include <cstdio>

#include <limbeck/core/error.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/test_samples.h>

namespace limbeck {

std::string four_digits(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

double bits(const Metrics& metrics, const TestSamples& samples) {
  const double per_token = metrics.nll / std::log(2.0);
  const double characters = samples.characters_per_token();
  return characters > 0 ? per_token / characters : per_token;
}

std::string bits_unit(const TestSamples& samples) {
  return samples.characters_per_token() > 0 ? "bits/character" : "bits/token";
}

std::string metrics_table(const std::vector<MeasuredModel>& models, const TestSamples& samples) {
  const bool text = samples.is_text(), brier = models.front().brier.has_value();
  std::vector<std::vector<std::string>> rows = {{"model", "parameters", "test errors", "accuracy",
                                                 "NLL",
                                                 detail::concat("ECE, ", kEceBins, " bins")}};
  if (brier) rows[0].push_back("Brier");
  if (text) rows[0].insert(rows[0].begin() + 2, bits_unit(samples));
  for (const MeasuredModel& model : models) {
    const Metrics& m = model.metrics;
    std::vector<std::string> row = {model.name,
                                    std::to_string(model.parameters),
                                    detail::concat(m.errors, " of ", m.samples),
                                    four_digits(m.accuracy),
                                    four_digits(m.nll),
                                    four_digits(m.ece)};
    if (brier) row.push_back(four_digits(*model.brier));
    if (text) row.insert(row.begin() + 2, four_digits(bits(m, samples)));
    rows.push_back(std::move(row));
  }
  return format_table(rows);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/report.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>

namespace limbeck {
namespace {

using Row = std::vector<std::string>;

/// "12.3 ± 0.4", or the value alone when there is one.
std::string mean_and_deviation(const std::vector<double>& values, int digits) {
  const double n = static_cast<double>(values.size());
  double mean = 0, square = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) square += (v - mean) * (v - mean);
  if (values.size() < 2) return fixed(mean, digits);
  const int more = std::max(digits, 1);
  return fixed(mean, more) + " ± " + fixed(std::sqrt(square / (n - 1)), more);
}

/// The seeds' results of one model.
class Seeds {
 public:
  Seeds(const std::vector<Result>& results, const std::string& model) {
    for (const Result& r : results)
      if (r.model == model) list_.push_back(&r);
  }
  const Result& first() const { return *list_.front(); }
  bool empty() const { return list_.empty(); }
  std::string show(const std::function<double(const Result&)>& value, int digits) const {
    std::vector<double> values;
    for (const Result* r : list_) values.push_back(value(*r));
    return mean_and_deviation(values, digits);
  }

 private:
  std::vector<const Result*> list_;
};

std::string percent(const Seeds& seeds, const std::function<double(const Result&)>& errors) {
  return seeds.show(
      [&](const Result& r) { return 100 * errors(r) / static_cast<double>(r.test.samples); }, 2);
}

std::string paper(const std::optional<double>& errors, const std::optional<double>& swept) {
  if (!errors) return "";
  return fixed(*errors, 0) + (swept ? " (" + fixed(*swept, 0) + ")" : "");
}

std::string class_list(const std::vector<std::int64_t>& classes) {
  std::string text;
  for (const std::int64_t c : classes) text += (text.empty() ? "" : ",") + std::to_string(c);
  return text;
}

Row model_row(const std::string& name, const Seeds& seeds, const Reference& reference) {
  const auto errors = [](const Result& r) { return static_cast<double>(r.test.errors); };
  std::string shown = seeds.show(errors, 0);
  if (seeds.first().sweep)
    shown +=
        " (" +
        seeds.show([](const Result& r) { return static_cast<double>(r.sweep->as_is.swept); }, 0) +
        ")";
  const bool fidelity = seeds.first().fidelity.has_value();
  return {
      name,
      std::to_string(seeds.first().parameters),
      shown,
      percent(seeds, errors),
      fidelity ? seeds.show([](const Result& r) { return r.fidelity->agreement; }, 4) : "",
      seeds.show([](const Result& r) { return r.test.ece; }, 4),
      seeds.first().steps > 0 ? seeds.show([](const Result& r) { return r.ms_per_step; }, 2) : "",
      paper(reference.errors, reference.swept_errors)};
}

Row sweep_row(const Arm& arm, const Seeds& seeds) {
  const auto errors = [](const Result& r) { return static_cast<double>(r.sweep->best.all); };
  const auto swept = [](const Result& r) { return static_cast<double>(r.sweep->best.swept); };
  return {"  bias of " + class_list(arm.bias_sweep) + " moved by " +
              seeds.show([](const Result& r) { return r.sweep->offset; }, 2),
          "",
          seeds.show(errors, 0) + " (" + seeds.show(swept, 0) + ")",
          percent(seeds, errors),
          "",
          "",
          "",
          paper(arm.reference.best_errors, arm.reference.best_swept_errors)};
}

/// Columns that are shown where any model has something in them.
struct ExtraColumn {
  const char* title;
  std::string (*show)(const Seeds& seeds);
};

const ExtraColumn kExtraColumns[] = {
    {"gap recovered",
     [](const Seeds& seeds) {
       return seeds.first().gap_recovered
                  ? seeds.show([](const Result& r) { return r.gap_recovered.value_or(0); }, 2)
                  : std::string();
     }},
    {"knowledge, bytes/sample", [](const Seeds& seeds) {
       const std::int64_t bytes = seeds.first().knowledge_bytes;
       return bytes > 0 ? std::to_string(bytes) : std::string();
     }}};

/// Appends the extra columns to rows that have one Seeds each, or none.
void append_extra(std::vector<Row>& rows, const std::vector<std::optional<Seeds>>& seeds) {
  for (const ExtraColumn& column : kExtraColumns) {
    std::vector<std::string> cells = {column.title};
    for (std::size_t i = 1; i < rows.size(); ++i)
      cells.push_back(seeds[i] ? column.show(*seeds[i]) : "");
    if (std::all_of(cells.begin() + 1, cells.end(), [](const auto& c) { return c.empty(); }))
      continue;
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(cells[i]);
  }
}

bool has_reference(const Experiment& experiment) {
  return (experiment.teacher && experiment.teacher->reference.errors) ||
         std::any_of(experiment.arms.begin(), experiment.arms.end(),
                     [](const Arm& arm) { return arm.reference.errors.has_value(); });
}

bool has_sweep(const Experiment& experiment) {
  return std::any_of(experiment.arms.begin(), experiment.arms.end(),
                     [](const Arm& arm) { return !arm.bias_sweep.empty(); });
}

std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0u) != 0x80u; }));
}

Row text_row(const std::string& name, const Seeds& seeds, bool characters) {
  const Result& first = seeds.first();
  const auto bits = [&](const Result& r) {
    return characters ? r.bits_per_character.value_or(0) : *r.bits_per_token;
  };
  return {
      name,
      std::to_string(first.parameters),
      seeds.show(bits, 4),
      seeds.show([](const Result& r) { return 100 * r.test.accuracy; }, 2),
      first.fidelity ? seeds.show([](const Result& r) { return r.fidelity->agreement; }, 4) : "",
      seeds.show([](const Result& r) { return r.test.ece; }, 4),
      first.steps > 0 ? seeds.show([](const Result& r) { return r.ms_per_step; }, 2) : ""};
}

/// Of language models: how many bits they need for what comes next.
std::vector<Row> text_rows(const Experiment& experiment, const std::vector<Result>& results) {
  const bool characters = results.front().bits_per_character.has_value();
  std::vector<Row> rows = {{"model", "parameters",
                            characters ? "test bits/character" : "test bits/token", "right %",
                            "agreement", "ECE", "ms/step"}};
  const auto add = [&](const std::string& name) {
    const Seeds seeds(results, name);
    if (!seeds.empty()) rows.push_back(text_row(name, seeds, characters));
  };
  if (experiment.teacher) add(kTeacherName);
  for (const Arm& arm : experiment.arms)
    for (const std::string& name : learner_names(arm)) add(name);
  return rows;
}

std::vector<Row> image_rows(const Experiment& experiment, const std::vector<Result>& results) {
  std::vector<Row> rows = {
      {"model", "parameters", "test errors", "%", "agreement", "ECE", "ms/step", "reference"}};
  std::vector<std::optional<Seeds>> of_row = {std::nullopt};
  const auto add = [&](const std::string& name, const Reference& reference) {
    const Seeds seeds(results, name);
    if (seeds.empty()) return;
    of_row.emplace_back(seeds);
    rows.push_back(model_row(name, *of_row.back(), reference));
  };
  if (experiment.teacher) add(kTeacherName, experiment.teacher->reference);
  for (const Arm& arm : experiment.arms) {
    for (const std::string& name : learner_names(arm))
      add(name, name == arm.name ? arm.reference : Reference{});
    const Seeds seeds(results, arm.name);
    if (arm.bias_sweep.empty() || seeds.empty()) continue;
    rows.push_back(sweep_row(arm, seeds));
    of_row.emplace_back();
  }
  if (!has_reference(experiment))
    for (Row& row : rows) row.pop_back();
  append_extra(rows, of_row);
  return rows;
}

}  // namespace

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string format_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const Row& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string pad(widths[c] - width(row[c]), ' ');
      line += c == 0 ? row[c] + pad : "  " + pad + row[c];
    }
    const std::size_t length = width(line);
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    if (&row == &rows.front()) text += std::string(length, '-') + "\n";
  }
  return text;
}

std::string format_report(const Experiment& experiment, const std::vector<Result>& results) {
  const bool is_text = !results.empty() && results.front().bits_per_token;
  std::string text =
      format_table(is_text ? text_rows(experiment, results) : image_rows(experiment, results));
  if (has_sweep(experiment)) text += "(in brackets: errors on the classes whose bias is moved)\n";
  if (experiment.seeds.size() > 1)
    text +=
        "mean ± standard deviation over " + std::to_string(experiment.seeds.size()) + " seeds\n";
  return text;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/recover_command.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>

#include <limbeck/core/error.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

MeasurementKind kind_of(const std::string& name) {
  std::string known;
  for (const auto kind :
       {MeasurementKind::rademacher, MeasurementKind::gaussian, MeasurementKind::achlioptas,
        MeasurementKind::count_sketch, MeasurementKind::srht}) {
    if (name == measurement_name(kind)) return kind;
    known += (known.empty() ? "" : ", ") + std::string(measurement_name(kind));
  }
  throw std::invalid_argument("recover: matrix is '" + name + "'; expected one of " + known);
}

/// Percentages by measurements (down) and sparsity (across).
std::string percentages(const std::vector<RecoveryCurve>& curves) {
  std::vector<std::vector<std::string>> rows = {{"measurements"}};
  std::set<std::int64_t> measurements;
  for (const RecoveryCurve& curve : curves) {
    rows[0].push_back("s = " + std::to_string(curve.sparsity) + ": %");
    measurements.insert(curve.measurements.begin(), curve.measurements.end());
  }
  for (const std::int64_t m : measurements) {
    std::vector<std::string> row = {std::to_string(m)};
    for (const RecoveryCurve& curve : curves) {
      const auto at = std::find(curve.measurements.begin(), curve.measurements.end(), m);
      const auto i = static_cast<std::size_t>(at - curve.measurements.begin());
      row.push_back(at == curve.measurements.end() ? "" : fixed(100 * curve.recovered[i], 1));
    }
    rows.push_back(std::move(row));
  }
  return format_table(rows);
}

std::string counts(const std::vector<RecoveryCurve>& curves, double D) {
  std::vector<std::vector<std::string>> rows = {
      {"nonzeros s", "measurements for 99 %", "per s ln D", "4 s ln D", "2 s ln(D - s)"}};
  for (const RecoveryCurve& curve : curves) {
    const auto s = static_cast<double>(curve.sparsity), m = static_cast<double>(curve.enough());
    rows.push_back({std::to_string(curve.sparsity), m > 0 ? fixed(m, 0) : "more",
                    m > 0 ? fixed(m / (s * std::log(D)), 2) : "", fixed(4 * s * std::log(D), 0),
                    D > s ? fixed(2 * s * std::log(D - s), 0) : ""});
  }
  return format_table(rows);
}

json write_curves(const RecoverArguments& arguments, const RecoveryTrials& trials,
                  const std::vector<RecoveryCurve>& curves) {
  json list = json::array();
  for (const RecoveryCurve& curve : curves)
    list.push_back({{"sparsity", curve.sparsity},
                    {"measurements", curve.measurements},
                    {"recovered", curve.recovered},
                    {"enough", curve.enough() > 0 ? json(curve.enough()) : json()}});
  return {{"limbeck", version()},       {"commit", commit()},  {"dimension", trials.dimension},
          {"trials", trials.trials},    {"seed", trials.seed}, {"matrix", arguments.matrix},
          {"method", arguments.method}, {"curves", list}};
}

void write_json(const json& value, const std::string& path) {
  std::ofstream file(path);
  file << value.dump(2) << std::endl;
  if (!file) throw IoError(path + ": cannot be written");
}

}  // namespace

void recover_command(const RecoverArguments& arguments, std::ostream& out) {
  LIMBECK_CHECK(arguments.method == "omp" || arguments.method == "fista", "recover: method is '",
                arguments.method, "'; expected omp or fista");
  RecoveryTrials trials = arguments.trials;
  trials.matrix = kind_of(arguments.matrix);
  trials.fista = arguments.method == "fista";
  use_machine(arguments.machine);
  std::vector<RecoveryCurve> curves;
  const auto save = [&] {
    if (!arguments.json.empty())
      write_json(write_curves(arguments, trials, curves), arguments.json);
  };
  save();  // or a mistyped path would show at the end only
  for (const std::int64_t sparsity : arguments.sparsity) {
    curves.push_back(recovery_curve(trials, sparsity, arguments.measurements));
    save();
  }
  out << percentages(curves) << "\n"
      << arguments.matrix << ", " << arguments.method << ", D = " << trials.dimension << ", "
      << trials.trials << " trials of each\n"
      << counts(curves, static_cast<double>(trials.dimension));
}

}  // namespace limbeck

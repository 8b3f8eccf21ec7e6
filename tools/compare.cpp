// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/compare.h>

#include <limbeck/core/file.h>
#include <limbeck/tools/compare_html.h>

namespace limbeck {
namespace {

LayerSimilarityOptions layer_options(const CompareArguments& arguments) {
  LayerSimilarityOptions options;
  options.kind = arguments.cka == "linear" ? CkaKind::linear
                 : arguments.cka == "rbf"  ? CkaKind::rbf
                                           : CkaKind::unbiased;
  options.samples = arguments.cka_samples;
  options.student_layers = arguments.layers;
  options.teacher_layers =
      arguments.teacher_layers.empty() ? arguments.layers : arguments.teacher_layers;
  return options;
}

void check_arguments(const CompareArguments& arguments, const TestSamples& samples) {
  const std::string& cka = arguments.cka;
  LIMBECK_CHECK(cka == "linear" || cka == "rbf" || cka == "unbiased" || cka == "none", "--cka: is ",
                cka, "; expected linear, rbf, unbiased or none");
  LIMBECK_CHECK(arguments.tau > 0, "--tau: is ", arguments.tau, "; expected above 0");
  LIMBECK_CHECK(arguments.cka_samples >= 4, "--cka-samples: is ", arguments.cka_samples,
                "; expected at least 4");
  LIMBECK_CHECK(arguments.measurements == 0 || !arguments.recover.empty(),
                "--measurements: is of --recover; expected a layer there");
  for (const std::int64_t i : arguments.samples)
    LIMBECK_CHECK(i >= 0 && i < samples.labels(), "--samples: ", i, "; ", samples.name(),
                  " has 0 to ", samples.labels() - 1);
}

/// Keeps of each part of the logits what the chosen samples are about.
void look_at_samples(std::vector<SampleView>& views, std::int64_t first, const Tensor& student,
                     const Tensor& teacher, double tau) {
  const std::int64_t rows = student.dim(0), V = student.dim(1);
  for (SampleView& view : views) {
    const std::int64_t row = view.index - first;
    if (row < 0 || row >= rows) continue;
    view.classes = top_classes(student.rows(row, row + 1).reshape({V}),
                               teacher.rows(row, row + 1).reshape({V}), tau, 5, view.label);
  }
}

void write_text_file(const std::string& path, const std::string& text) {
  const std::string_view part = text;
  write_file_atomically(path, {&part, 1});
}

}  // namespace

Comparison compare_models(const CompareArguments& arguments, const TestSamples& samples,
                          Device device) {
  check_arguments(arguments, samples);
  const LoadedModel student = load_model(arguments.student, samples.input(), device);
  const LoadedModel teacher = load_model(arguments.teacher, samples.input(), device);
  check_output(*student.module, arguments.student.weights, samples);
  check_output(*teacher.module, arguments.teacher.weights, samples);
  const auto student_data = samples.source(student.input);
  const auto teacher_data = samples.source(teacher.input);
  Comparison found;
  found.student_file = arguments.student.weights;
  found.teacher_file = arguments.teacher.weights;
  found.student_parameters = parameter_count(*student.module);
  found.teacher_parameters = parameter_count(*teacher.module);
  for (const std::int64_t i : arguments.samples) found.samples.push_back({i, samples.label(i), {}});
  TransferMeter meter(samples.classes(), arguments.tau);
  visit_logits(*student.module, *student_data, *teacher.module, *teacher_data, samples.classes(),
               [&](std::int64_t first, const Tensor& s, const Tensor& t, const Tensor& labels) {
                 meter.add(s, t, labels);
                 look_at_samples(found.samples, first, s, t, arguments.tau);
               });
  found.transfer = meter.result();
  if (arguments.cka != "none")
    found.layers = compare_layers(*student.module, *student_data, *teacher.module, *teacher_data,
                                  layer_options(arguments));
  if (!arguments.ledger.empty())
    found.ledger = channel_audit(*student.module, *student_data, *teacher.module, *teacher_data,
                                 arguments.ledger);
  if (!arguments.recover.empty())
    found.recovery =
        recovery_audit(*teacher.module, *teacher_data, arguments.recover, arguments.measurements);
  return found;
}

void compare_command(const CompareArguments& arguments, std::ostream& out) {
  const Device device = use_machine(arguments.machine);
  const TestSamples samples(data_config(arguments.data, arguments.student.weights), device);
  const Comparison found = compare_models(arguments, samples, device);
  out << comparison_table(found, samples);
  if (arguments.json.empty() && arguments.html.empty()) return;
  const nlohmann::json report = comparison_json(found, samples);
  if (!arguments.json.empty()) write_text_file(arguments.json, report.dump(1) + "\n");
  if (!arguments.html.empty()) write_text_file(arguments.html, compare_page(report));
}

}  // namespace limbeck

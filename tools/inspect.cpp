// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/inspect.h>

#include <filesystem>

#include <limbeck/core/math_mode.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/nn/safetensors.h>
#include <limbeck/tools/arm_drawing.h>
#include <limbeck/tools/arm_knowledge.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/metrics_table.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/model_table.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/run_file.h>
#include <limbeck/tools/test_samples.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

void show_weights(const std::string& path, std::ostream& out) {
  const SafetensorsFile file = read_safetensors(path);
  std::vector<std::vector<std::string>> rows = {{"tensor", "dtype", "shape", "elements"}};
  std::int64_t total = 0;
  for (const auto& [name, tensor] : file.tensors) {
    rows.push_back({name, std::string(dtype_name(tensor.dtype())), tensor.shape().str(),
                    std::to_string(tensor.numel())});
    total += tensor.numel();
  }
  out << format_table(rows) << total << " elements\n";
  for (const auto& [key, value] : file.metadata) out << key << ": " << value << "\n";
}

void show_run(const std::filesystem::path& folder, std::ostream& out) {
  const std::string file = (folder / "run.json").string();
  const json run = read_json_file(file);
  LIMBECK_CHECK(run.is_object() && run.contains("config") && run.contains("results"), file,
                ": is not the run.json of a finished run");
  std::vector<Result> results;
  for (const json& result : run["results"]) results.push_back(read_result(result, file));
  out << format_report(read_experiment(run["config"]), results);
}

/// One sample of a run file's data; empty when only the data could tell.
Shape sample_of(const DataConfig& data) {
  if (data.text) return {data.text->context};
  if (data.folder.format == "idx") return {28, 28, 1};
  return data.folder.format == "npy" ? Shape{} : Shape{32, 32, 3};
}

void show_json(const std::string& path, std::ostream& out) try {
  const json file = read_run_file(path);
  if (file.is_object() && file.contains("layers")) {
    out << model_table(read_model_with_input(file, ""));
    return;
  }
  const Experiment experiment = read_experiment(file);
  const auto show = [&](const std::string& name, ModelSpec model) {
    if (model.input.rank() == 0) model.input = sample_of(experiment.data);
    out << name << "\n" << model_table(model);
  };
  if (experiment.teacher) show("teacher", experiment.teacher->model);
  for (const Arm& arm : experiment.arms) show(arm.name, arm.model);
  if (const Arm& arm = main_arm(experiment); arm.distill)
    out << "\n" << draw_arm(experiment, arm, sample_of(experiment.data));
} catch (const std::invalid_argument& e) {
  throw std::invalid_argument(path + ": " + e.what());
}

void show_machine(std::ostream& out) {
  out << "limbeck " << version() << ", commit " << commit() << "\n";
  for (int i = 0; i < cuda_device_count(); ++i)
    out << Device::cuda(i).str() << ": " << device_name(Device::cuda(i)) << "\n";
  const json cpu = describe_machine(Device::cpu());
  out << "cpu: " << cpu["device_name"].get<std::string>() << ", " << cpu["threads"] << " threads, "
      << cpu["isa"].get<std::string>() << "\n"
      << "fast math (oneDNN): " << (fast_math_available() ? "yes" : "not in this build") << "\n";
}

}  // namespace

void eval_command(const EvalArguments& arguments, std::ostream& out) {
  const Device device = use_machine(arguments.machine);
  const std::string& weights = arguments.model.weights;
  const TestSamples samples(data_config(arguments.data, weights), device);
  const LoadedModel model = load_model(arguments.model, samples.input(), device);
  check_output(*model.module, weights, samples);
  const Evaluation found = evaluate(*model.module, *samples.source(model.input));
  out << metrics_table({{weights, parameter_count(*model.module), found.metrics}}, samples);
}

void info_command(const std::string& path, std::ostream& out) {
  if (path.empty())
    show_machine(out);
  else if (std::filesystem::is_directory(path))
    show_run(path, out);
  else if (path.ends_with(".json"))
    show_json(path, out);
  else
    show_weights(path, out);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/inspect.h>

#include <cstdio>
#include <filesystem>

#include <limbeck/core/math_mode.h>
#include <limbeck/distill/evaluate.h>
#include <limbeck/distill/metrics.h>
#include <limbeck/nn/weights.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/model_table.h>
#include <limbeck/tools/name_map_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/report.h>
#include <limbeck/tools/run_file.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

/// A model from its weights: our own files say what model they are of; others need a model file.
struct LoadedModel {
  std::unique_ptr<Module> module;
  Preprocess input;
};

ModelSpec spec_of(const SafetensorsFile& file, const std::string& weights,
                  const std::string& model_file, const Shape& image) {
  if (!model_file.empty()) return read_model(read_json_file(model_file), "", image);
  const auto found = file.metadata.find("model");
  LIMBECK_CHECK(found != file.metadata.end(), weights,
                ": does not say what model it is of; name a model file with --model");
  ModelSpec spec = read_model_with_input(parse_json(found->second, weights), weights + ": model");
  LIMBECK_CHECK(spec.input == image, weights, ": is of a model of ", spec.input,
                " images; the data has ", image);
  return spec;
}

/// Where a model comes from; empty: there is no such file.
struct ModelFiles {
  std::string weights, model, names;
};

LoadedModel load_model(const ModelFiles& files, const Shape& image, Device device) {
  const std::string& weights = files.weights;
  const SafetensorsFile file = read_safetensors(weights);
  LoadedModel model;
  model.module = build_model(spec_of(file, weights, files.model, image), 0, DType::f32, device);
  load_weights(*model.module, weights, {read_name_map_file(files.names)});
  if (const auto found = file.metadata.find("preprocess"); found != file.metadata.end()) {
    const json value = parse_json(found->second, weights);
    const JsonObject preprocess(value, weights + ": preprocess", {"scale", "shift", "mean", "std"});
    model.input = read_preprocess(preprocess);
  }
  return model;
}

/// The test images of the data, and the device they are looked at on.
struct Bench {
  Device device;
  Dataset test, moved;  ///< the latter on the device
  Shape image;

  explicit Bench(const InspectArguments& arguments)
      : device(use_machine(arguments.machine)),
        test(load_dataset(arguments.data, arguments.synthetic, arguments.folder).test),
        moved(test.on(device)),
        image(test.image_shape()) {}

  Tensor logits(const ModelFiles& files, std::int64_t& parameters) const {
    const LoadedModel model = load_model(files, image, device);
    parameters = parameter_count(*model.module);
    Tensor logits = predict(*model.module, *moved.source(device, model.input));
    LIMBECK_CHECK(logits.dim(1) == test.classes, files.weights, ": gives ", logits.dim(1),
                  " outputs; ", test.name, " has ", test.classes, " classes");
    return logits;
  }
};

std::vector<std::string> metrics_row(const std::string& name, std::int64_t parameters,
                                     const Metrics& m) {
  return {name,
          std::to_string(parameters),
          detail::concat(m.errors, " of ", m.samples),
          fixed(m.accuracy),
          fixed(m.nll),
          fixed(m.ece)};
}

const std::vector<std::string> kMetricsHeader = {"model",    "parameters", "test errors",
                                                 "accuracy", "NLL",        "ECE"};

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

void eval_command(const InspectArguments& arguments, std::ostream& out) {
  const Bench bench(arguments);
  std::int64_t parameters = 0;
  const Tensor logits =
      bench.logits({arguments.weights, arguments.model, arguments.names}, parameters);
  out << format_table({kMetricsHeader, metrics_row(arguments.weights, parameters,
                                                   measure(logits, bench.test.labels))});
}

void compare_command(const InspectArguments& arguments, std::ostream& out) {
  const Bench bench(arguments);
  const Tensor& labels = bench.test.labels;
  std::int64_t parameters[2] = {};
  const Tensor student =
      bench.logits({arguments.weights, arguments.model, arguments.names}, parameters[0]);
  const Tensor teacher = bench.logits(
      {arguments.teacher, arguments.teacher_model, arguments.teacher_names}, parameters[1]);
  const Fidelity f = measure_fidelity(student, teacher, labels);
  out << format_table({kMetricsHeader,
                       metrics_row("student", parameters[0], measure(student, labels)),
                       metrics_row("teacher", parameters[1], measure(teacher, labels))})
      << "agreement " << fixed(f.agreement)
      << " (independent models of these accuracies: " << fixed(f.baseline)
      << "), KL(teacher||student) " << fixed(f.forward_kl) << ", KL(student||teacher) "
      << fixed(f.reverse_kl) << "\n";
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

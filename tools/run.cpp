// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include <limbeck/nn/weights.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/name_map_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// The teacher draws from random streams of its own, so that no student starts as a part of it.
constexpr std::uint64_t kTeacherStreams = std::uint64_t{1} << 63;

/// The rows an arm trains on; empty when it is all of them.
std::vector<std::int32_t> transfer_samples(const Arm& arm, const Dataset& data) {
  if (arm.omit_classes.empty() && arm.only_classes.empty()) return {};
  const auto named = [](const std::vector<std::int64_t>& list, std::int32_t label) {
    return std::find(list.begin(), list.end(), label) != list.end();
  };
  std::vector<std::int32_t> rows;
  const std::vector<std::int32_t> labels = data.labels.to_vector<std::int32_t>();
  for (std::size_t n = 0; n < labels.size(); ++n)
    if (arm.only_classes.empty() ? !named(arm.omit_classes, labels[n])
                                 : named(arm.only_classes, labels[n]))
      rows.push_back(static_cast<std::int32_t>(n));
  LIMBECK_CHECK(!rows.empty(), "arm \"", arm.name, "\": no sample of ", data.name,
                " is left to train on");
  return rows;
}

/// The figure to watch while jobs end.
std::string summary(const Result& result) {
  if (result.bits_per_character)
    return detail::concat(*result.bits_per_character, " test bits per character");
  if (result.bits_per_token) return detail::concat(*result.bits_per_token, " test bits per token");
  return detail::concat(result.test.errors, " test errors of ", result.test.samples);
}

/// What a job is, whoever it trains.
struct Job {
  std::string name;
  std::uint64_t seed = 0;  ///< as the run file names it
  ModelSpec model;
  std::vector<std::int64_t> bias_sweep = {};
};

class Runner {
 public:
  Runner(const Experiment& experiment, const RunData& data, const RunFolder& folder, Device device,
         ProgressLine& progress)
      : experiment_(experiment),
        data_(data),
        folder_(folder),
        device_(device),
        progress_(progress),
        jobs_(experiment.seeds.size() * (experiment.arms.size() + experiment.teacher.has_value())) {
    if (data.text) return;
    train_ = data.images.train.on(device);
    test_ = data.images.test.on(device);
  }

  void run_seed(std::uint64_t seed) {
    teacher_ = nullptr;
    teacher_train_logits_ = teacher_test_logits_ = Tensor();
    if (experiment_.teacher) run_teacher(*experiment_.teacher, seed);
    for (const Arm& arm : experiment_.arms) run_arm(arm, seed);
  }

  std::vector<Result> results;

 private:
  void run_teacher(const TeacherConfig& config, std::uint64_t seed);
  void load_teacher(const TeacherConfig& config);
  void round_teacher(const ModelSpec& model, DType dtype);
  void run_arm(const Arm& arm, std::uint64_t seed);
  Teacher teacher_for(const Arm& arm);
  std::unique_ptr<BatchSource> train_source(const TrainerOptions& options) const;
  void train(const Job& job, Module& model, const Teacher& teacher, const TrainerOptions& options,
             Result& result);
  void finish(const Job& job, Module& model, Result& result);
  void measure_images(const Job& job, Module& model, Result& result);
  void measure_text(Module& model, Result& result) const;
  void look_at_teacher();
  Tensor logits_of(Module& model, const Dataset& images) const {
    return predict(model, *images.source(device_, experiment_.data.input));
  }
  TrainerOptions options_of(const Recipe& recipe, std::uint64_t seed) const;

  const Experiment& experiment_;
  const RunData& data_;
  const RunFolder& folder_;
  Device device_;
  ProgressLine& progress_;
  Dataset train_, test_;  ///< on the device; empty where the data is text
  std::size_t jobs_;
  std::unique_ptr<Module> teacher_;
  Tensor teacher_train_logits_, teacher_test_logits_;  ///< the former when first needed
};

TrainerOptions Runner::options_of(const Recipe& recipe, std::uint64_t seed) const {
  TrainerOptions options;
  options.recipe = recipe;
  options.seed = seed;
  options.report_every = experiment_.report_every;
  options.checkpoint_every = experiment_.checkpoint_every;
  return options;
}

void Runner::run_teacher(const TeacherConfig& config, std::uint64_t seed) {
  Job job = {"teacher", seed, config.model};
  job.model.input = data_.input();
  teacher_ = build_model(job.model, seed ^ kTeacherStreams,
                         config.recipe ? config.recipe->precision : DType::f32, device_);
  const JobFolder files = folder_.job(seed, job.name);
  if (const auto done = files.result()) {
    load_weights(*teacher_, files.weights());
    results.push_back(*done);
    look_at_teacher();
  } else {
    Result result;
    if (config.recipe)
      train(job, *teacher_, {}, options_of(*config.recipe, seed ^ kTeacherStreams), result);
    else
      load_teacher(config);
    finish(job, *teacher_, result);
  }
  if (config.dtype != DType::f32) round_teacher(job.model, config.dtype);
}

void Runner::load_teacher(const TeacherConfig& config) {
  const std::string unmatched =
      load_weights(*teacher_, config.weights, {read_name_map_file(config.names), config.match});
  if (unmatched.empty()) return;
  progress_.begin(config.weights, 0);
  progress_.end(unmatched);
}

void Runner::round_teacher(const ModelSpec& model, DType dtype) {
  auto rounded = build_model(model, 0, dtype, device_);
  try {
    import_weights(*rounded, export_weights(*teacher_));
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(std::string("teacher.dtype: ") + e.what());
  }
  teacher_ = std::move(rounded);
  look_at_teacher();
}

/// What students are compared with. Logits of text are too many to keep.
void Runner::look_at_teacher() {
  if (!data_.text) teacher_test_logits_ = logits_of(*teacher_, test_);
}

void Runner::run_arm(const Arm& arm, std::uint64_t seed) {
  Job job = {arm.name, seed, arm.model, arm.bias_sweep};
  if (const auto done = folder_.job(seed, job.name).result()) {
    results.push_back(*done);
    return;
  }
  job.model.input = data_.input();
  const auto model = build_model(job.model, seed, arm.recipe.precision, device_);
  TrainerOptions options = options_of(arm.recipe, seed);
  options.samples = transfer_samples(arm, data_.images.train);
  options.distill = arm.distill;
  Result result;
  train(job, *model, teacher_for(arm), options, result);
  finish(job, *model, result);
}

std::unique_ptr<BatchSource> Runner::train_source(const TrainerOptions& options) const {
  if (data_.text) return data_.text->train.source(device_);
  return train_.source(device_, experiment_.data.input, options.recipe.augment, options.seed);
}

/// Without augmentation an image always gets the same soft targets: they are computed once per
/// seed.
Teacher Runner::teacher_for(const Arm& arm) {
  if (!arm.distill) return {};
  if (data_.text || arm.recipe.augment.any()) return {.model = teacher_.get()};
  if (!teacher_train_logits_.defined()) teacher_train_logits_ = logits_of(*teacher_, train_);
  return {.logits = teacher_train_logits_};
}

void Runner::train(const Job& job, Module& model, const Teacher& teacher,
                   const TrainerOptions& given, Result& result) {
  const JobFolder files = folder_.job(job.seed, job.name);
  TrainerOptions options = given;
  options.checkpoint = files.checkpoint();
  const std::unique_ptr<BatchSource> data = train_source(options);
  Trainer trainer(model, *data, teacher, options);
  trainer.resume();
  const std::int64_t first = trainer.step();
  files.rewind_log(first);
  progress_.begin(
      detail::concat("[", results.size() + 1, "/", jobs_, "] seed ", job.seed, " ", job.name),
      first);
  trainer.run([&](const Progress& p) {
    progress_.update(p);
    files.log({{"step", p.step},
               {"epoch", p.epoch},
               {"loss", p.loss},
               {"lr", p.lr},
               {"seconds", progress_.seconds()}});
  });
  synchronize(device_);
  const std::int64_t done = trainer.step() - first;
  result.steps = trainer.step();
  result.ms_per_step = done > 0 ? 1e3 * progress_.seconds() / static_cast<double>(done) : 0;
}

void Runner::measure_images(const Job& job, Module& model, Result& result) {
  const Tensor logits = logits_of(model, test_);
  const Tensor& labels = data_.images.test.labels;
  result.test = measure(logits, labels);
  if (&model == teacher_.get())
    teacher_test_logits_ = logits;
  else if (teacher_)
    result.fidelity = measure_fidelity(logits, teacher_test_logits_, labels);
  if (!job.bias_sweep.empty()) result.sweep = sweep_bias(logits, labels, job.bias_sweep);
}

void Runner::measure_text(Module& model, Result& result) const {
  const TextDataset& text = data_.text->test;
  Module* teacher = &model == teacher_.get() ? nullptr : teacher_.get();
  const Evaluation found = evaluate(model, *text.source(device_), teacher);
  result.test = found.metrics;
  result.fidelity = found.fidelity;
  result.bits_per_token = found.metrics.nll / std::log(2.0);
  if (text.characters_per_token > 0)
    result.bits_per_character = *result.bits_per_token / text.characters_per_token;
}

/// Measures, saves and reports a model that is ready.
void Runner::finish(const Job& job, Module& model, Result& result) {
  result.model = job.name;
  result.seed = job.seed;
  result.parameters = parameter_count(model);
  result.digest = weights_digest(model);
  if (data_.text)
    measure_text(model, result);
  else
    measure_images(job, model, result);
  const JobFolder files = folder_.job(job.seed, job.name);
  const Preprocess& input = experiment_.data.input;
  save_weights(model, files.weights(),
               {{"limbeck", version()},
                {"model", write_model(job.model).dump()},
                {"preprocess", write_preprocess(input).dump()}});
  files.finish(result);
  progress_.end(
      detail::concat(summary(result), ", ",
                     clock_time(result.ms_per_step * 1e-3 * static_cast<double>(result.steps))));
  results.push_back(result);
}

}  // namespace

std::string weights_digest(Module& model) {
  Digest digest;
  for (const auto& [name, tensor] : export_weights(model).tensors) {
    digest.add(name);
    digest.add(tensor);
  }
  return digest.hex();
}

std::vector<Result> run_experiment(const Experiment& experiment, const RunData& data,
                                   const RunFolder& folder, Device device, ProgressLine& progress) {
  Runner runner(experiment, data, folder, device, progress);
  for (const std::uint64_t seed : experiment.seeds) runner.run_seed(seed);
  return runner.results;
}

}  // namespace limbeck

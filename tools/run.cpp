// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run.h>

#include <algorithm>
#include <cmath>

#include <limbeck/distill/performance_gap.h>
#include <limbeck/nn/weights.h>
#include <limbeck/tools/arm_models.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/name_map_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// The figure to watch while jobs end.
std::string summary(const Result& result) {
  if (result.bits_per_character)
    return detail::concat(*result.bits_per_character, " test bits per character");
  if (result.bits_per_token) return detail::concat(*result.bits_per_token, " test bits per token");
  return detail::concat(result.test.errors, " test errors of ", result.test.samples);
}

/// One model that is trained or loaded, and what it is compared with; empty: nothing.
struct Job {
  std::string name;
  ModelSpec model;
  std::string compared_with = {};
  std::vector<std::int64_t> bias_sweep = {};
  std::string weak = {};  ///< reverse: the model that taught
};

/// One seed of an experiment.
class SeedRun {
 public:
  SeedRun(const RunPlace& place, std::uint64_t seed, std::vector<Result>& results,
          ProgressLine& progress, std::size_t jobs)
      : place_(place),
        seed_(seed),
        results_(results),
        progress_(progress),
        jobs_(jobs),
        models_(place, seed) {}

  void run_teacher(const TeacherConfig& config);
  void run_arm(const Arm& arm);

 private:
  JobFolder files(const std::string& name) const { return place_.folder->job(seed_, name); }
  void load_teacher(const TeacherConfig& config, Module& model);
  std::vector<Job> jobs_of(const Arm& arm) const;
  Result train(const std::string& name, const ArmPlan& plan, RunOptions options);
  void save(const Job& job, Module& model) const;
  void finish(const Job& job, Module& model, Result result);
  void measure_images(const Job& job, Module& model, Result& result);
  void measure_text(const Job& job, Module& model, Result& result);
  double accuracy_of(const std::string& name) const;

  const RunPlace& place_;
  std::uint64_t seed_;
  std::vector<Result>& results_;
  ProgressLine& progress_;
  std::size_t jobs_;
  SeedModels models_;
};

void SeedRun::run_teacher(const TeacherConfig& config) {
  const Job job = {kTeacherName, place_.with_input(config.model)};
  if (const auto done = files(job.name).result()) {
    results_.push_back(*done);
    return;
  }
  const std::uint64_t seed = teacher_stream(seed_);
  const auto model = build_model(
      job.model, seed, config.recipe ? config.recipe->precision : DType::f32, place_.device);
  Result result;
  if (config.recipe) {
    ArmPlan alone;
    alone.participants = {{.model = model.get(), .recipe = *config.recipe, .seed = seed}};
    result = train(job.name, alone, {.seed = seed});
  } else {
    load_teacher(config, *model);
  }
  save(job, *model);
  finish(job, *model, result);
}

void SeedRun::load_teacher(const TeacherConfig& config, Module& model) {
  const std::string unmatched =
      load_weights(model, config.weights, {read_name_map_file(config.names), config.match});
  if (unmatched.empty()) return;
  progress_.begin(config.weights, 0);
  progress_.end(unmatched);
}

std::vector<Job> SeedRun::jobs_of(const Arm& arm) const {
  std::vector<Job> jobs;
  for (const std::string& name : learner_names(arm))
    jobs.push_back({name, place_.with_input(learner_model(place_.experiment, name))});
  jobs[0].bias_sweep = arm.bias_sweep;
  if (arm.partner) {
    for (Job& job : jobs) job.compared_with = jobs.back().name;
    jobs.back().compared_with = jobs.front().name;
  } else if (arm.distill && !arm.distill->source.empty()) {
    jobs[0].compared_with = arm.distill->source;
    if (arm.distill->mode == Mode::reverse) jobs[0].weak = arm.distill->source;
  } else if (place_.experiment.teacher) {
    jobs[0].compared_with = kTeacherName;
  }
  return jobs;
}

void SeedRun::run_arm(const Arm& arm) {
  const std::vector<Job> jobs = jobs_of(arm);
  std::vector<Result> done;
  for (const Job& job : jobs)
    if (const auto result = files(job.name).result()) done.push_back(*result);
  if (done.size() == jobs.size()) {
    results_.insert(results_.end(), done.begin(), done.end());
    return;
  }
  const ArmSetup setup = set_up_arm(arm, place_, seed_, models_);
  Result result = train(arm.name, setup.plan, setup.options);
  result.knowledge_bytes = setup.plan.knowledge_bytes;
  // All are saved before one is compared with another.
  for (std::size_t i = 0; i < jobs.size(); ++i) save(jobs[i], *setup.learners[i]);
  for (std::size_t i = 0; i < jobs.size(); ++i) finish(jobs[i], *setup.learners[i], result);
}

Result SeedRun::train(const std::string& name, const ArmPlan& plan, RunOptions options) {
  const JobFolder folder = files(name);
  const Experiment& experiment = place_.experiment;
  options.report_every = experiment.report_every;
  options.checkpoint_every = experiment.checkpoint_every;
  options.checkpoint = folder.checkpoint();
  const std::unique_ptr<BatchSource> data =
      place_.samples(plan.participants[0].recipe.augment, options.seed);
  Trainer trainer(plan.participants, plan.lessons, *data, options);
  trainer.resume();
  const std::int64_t first = trainer.step();
  folder.rewind_log(first);
  progress_.begin(detail::concat("[", results_.size() + 1, "/", jobs_, "] seed ", seed_, " ", name),
                  first);
  trainer.run([&](const Progress& p) {
    progress_.update(p);
    folder.log({{"step", p.step},
                {"epoch", p.epoch},
                {"loss", p.loss},
                {"lr", p.lr},
                {"seconds", progress_.seconds()}});
  });
  synchronize(place_.device);
  const std::int64_t done = trainer.step() - first;
  Result result;
  result.steps = trainer.step();
  result.step_bytes = static_cast<std::int64_t>(trainer.memory().bytes);
  result.step_pool_bytes = static_cast<std::int64_t>(trainer.memory().pool_bytes);
  result.ms_per_step = done > 0 ? 1e3 * progress_.seconds() / static_cast<double>(done) : 0;
  return result;
}

void SeedRun::save(const Job& job, Module& model) const {
  save_weights(model, files(job.name).weights(),
               {{"limbeck", version()},
                {"model", write_model(job.model).dump()},
                {"preprocess", write_preprocess(place_.experiment.data.input).dump()}});
}

void SeedRun::measure_images(const Job& job, Module& model, Result& result) {
  const Tensor logits = place_.logits_of(model, place_.test);
  const Tensor& labels = place_.data.images.test.labels;
  result.test = measure(logits, labels);
  if (!job.compared_with.empty())
    result.fidelity = measure_fidelity(logits, models_.test_logits(job.compared_with), labels);
  if (!job.bias_sweep.empty()) result.sweep = sweep_bias(logits, labels, job.bias_sweep);
}

void SeedRun::measure_text(const Job& job, Module& model, Result& result) {
  const TextDataset& text = place_.data.text->test;
  Module* other = job.compared_with.empty() ? nullptr : &models_.model(job.compared_with);
  const Evaluation found = evaluate(model, *text.source(place_.device), other);
  result.test = found.metrics;
  result.fidelity = found.fidelity;
  result.bits_per_token = found.metrics.nll / std::log(2.0);
  if (text.characters_per_token > 0)
    result.bits_per_character = *result.bits_per_token / text.characters_per_token;
}

/// On the test data, of a model that is measured already.
double SeedRun::accuracy_of(const std::string& name) const {
  for (const Result& result : results_)
    if (result.seed == seed_ && result.model == name) return result.test.accuracy;
  throw std::invalid_argument("\"" + name + "\" has no result yet");
}

/// Measures and reports a model that is saved.
void SeedRun::finish(const Job& job, Module& model, Result result) {
  result.model = job.name;
  result.seed = seed_;
  result.parameters = parameter_count(model);
  result.digest = weights_digest(model);
  if (place_.data.text)
    measure_text(job, model, result);
  else
    measure_images(job, model, result);
  if (!job.weak.empty())
    result.gap_recovered = performance_gap_recovered(
        {accuracy_of(job.weak), result.test.accuracy, accuracy_of(kTeacherName)});
  files(job.name).finish(result);
  progress_.end(
      detail::concat(summary(result), ", ",
                     clock_time(result.ms_per_step * 1e-3 * static_cast<double>(result.steps))));
  results_.push_back(result);
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
  const RunPlace place(experiment, data, &folder, device);
  std::size_t jobs = experiment.teacher.has_value();
  for (const Arm& arm : experiment.arms) jobs += learner_names(arm).size();
  jobs *= experiment.seeds.size();
  std::vector<Result> results;
  for (const std::uint64_t seed : experiment.seeds) {
    SeedRun run(place, seed, results, progress, jobs);
    if (experiment.teacher) run.run_teacher(*experiment.teacher);
    for (const Arm& arm : experiment.arms) run.run_arm(arm);
  }
  return results;
}

}  // namespace limbeck

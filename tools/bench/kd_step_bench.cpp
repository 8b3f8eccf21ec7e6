// SPDX-License-Identifier: Apache-2.0
// Time of one whole distillation step; tools/peers/kd_step.py is the same step in PyTorch.
#include <limbeck/core/math_mode.h>
#include <limbeck/distill/distill_step.h>
#include <limbeck/nn/model.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

/// A multilayer perceptron of the given widths, relu between its layers.
std::unique_ptr<ModelGraph> make_mlp(const std::vector<std::int64_t>& widths, DType dtype,
                                     Device device) {
  ModelSpec spec{.input = {widths.front()}, .layers = {}};
  for (std::size_t i = 1; i < widths.size(); ++i) {
    if (i > 1) spec.layers.push_back({.type = "relu", .name = ""});
    spec.layers.push_back({.type = "linear", .name = "", .out = widths[i]});
  }
  return build_model(spec, 1, dtype, device);
}

/// Multiply-adds of one sample's forward pass, times two.
double forward_flops(const std::vector<std::int64_t>& widths) {
  double flops = 0;
  for (std::size_t i = 1; i < widths.size(); ++i)
    flops += 2 * static_cast<double>(widths[i - 1] * widths[i]);
  return flops;
}

enum class Taught { live_f32, live_bf16, stored };

const char* name_of(Taught taught) {
  constexpr const char* kNames[] = {"f32", "bf16", "stored"};
  return kNames[static_cast<int>(taught)];
}

/// Student, its teacher or what was stored of one, and what trains the student.
class KdStep {
 public:
  KdStep(const std::vector<std::int64_t>& student, const std::vector<std::int64_t>& teacher,
         Taught taught, std::int64_t batch, Bench& bench)
      : student_(make_mlp(student, DType::f32, bench.device())),
        teacher_(make_mlp(teacher, taught == Taught::live_bf16 ? DType::bf16 : DType::f32,
                          bench.device())) {
    std::vector<Participant> participants(2);
    participants[0].name = "student";
    participants[0].model = student_.get();
    participants[0].recipe.optimizer = SgdConfig{.momentum = 0.9};
    participants[0].recipe.schedule = {.lr = 0.01};
    participants[1].name = "teacher";
    participants[1].state = ModelState::frozen_eval;
    if (taught == Taught::stored)
      participants[1].logits = bench.random({batch, teacher.back()});
    else
      participants[1].model = teacher_.get();
    Lesson lesson;
    lesson.sources = {1};
    lesson.logits = KdLossOptions{.tau = 4, .kd_weight = 0.7, .ce_weight = 0.3};
    step_ = std::make_unique<DistillStep>(std::move(participants), std::vector{lesson}, kSteps,
                                          StepOptions{.pack_frozen = true});
  }

  void operator()(const Batch& batch) { (*step_)(batch, 0); }

 private:
  static constexpr std::int64_t kSteps = 1000000;
  std::unique_ptr<ModelGraph> student_, teacher_;
  std::unique_ptr<DistillStep> step_;
};

Batch make_batch(Bench& bench, std::int64_t B) {
  Batch batch;
  batch.x = bench.random({B, 784});
  batch.labels = bench.random_index({B}, 10);
  batch.samples = bench.random_index({B}, B);
  batch.targets = static_cast<double>(B);
  return batch;
}

void bench_step(Bench& bench, Taught taught, std::int64_t B) {
  const std::vector<std::int64_t> student = {784, 800, 800, 10}, teacher = {784, 1200, 1200, 10};
  KdStep step(student, teacher, taught, B, bench);
  // Forward, and backward to the weights and to every layer's input but the first's.
  const double own = 3 * forward_flops(student) - 2.0 * 784 * 800;
  const double flops = own + (taught == Taught::stored ? 0 : forward_flops(teacher));
  bench.time(
      "kd_step", detail::concat("batch=", B, " teacher=", name_of(taught)),
      {.flops = static_cast<double>(B) * flops}, [&] { return make_batch(bench, B); }, step);
}

}  // namespace

void bench_kd_step(Bench& bench) {
  for (const std::int64_t B : {128, 512}) {
    bench_step(bench, Taught::live_f32, B);
    if (math_mode() == MathMode::fast) bench_step(bench, Taught::live_bf16, B);
    bench_step(bench, Taught::stored, B);
  }
}

}  // namespace limbeck

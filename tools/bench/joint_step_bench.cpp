// SPDX-License-Identifier: Apache-2.0
// Time of one whole distillation step with a live teacher: the models run apart, and as one plan.
#include <optional>

#include <limbeck/core/arena.h>
#include <limbeck/distill/distill_step.h>
#include <limbeck/nn/model.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

ModelSpec mlp(std::int64_t width) {
  return {{28, 28, 1},
          {{.type = "linear", .name = "fc1", .out = width},
           {.type = "relu", .name = "relu1"},
           {.type = "linear", .name = "fc2", .out = width},
           {.type = "relu", .name = "relu2"},
           {.type = "linear", .name = "fc3", .out = 10}}};
}

/// tools/configs/mnist-lenet.json's teacher and student: widths 32 and 8.
ModelSpec lenet(std::int64_t width) {
  return {{28, 28, 1},
          {{.type = "conv2d", .name = "conv1", .out = width, .kernel = 5, .padding = 2},
           {.type = "relu", .name = "relu1"},
           {.type = "max_pool2d", .name = "pool1", .kernel = 2},
           {.type = "conv2d", .name = "conv2", .out = 2 * width, .kernel = 5},
           {.type = "relu", .name = "relu2"},
           {.type = "max_pool2d", .name = "pool2", .kernel = 2},
           {.type = "linear", .name = "fc1", .out = 4 * width},
           {.type = "relu", .name = "relu3"},
           {.type = "linear", .name = "fc2", .out = 10}}};
}

struct Pair {
  const char* name;
  ModelSpec student, teacher;
};

/// One step, by look() at both models or as DistillStep does it, in an arena either way.
class Step {
 public:
  Step(const Pair& pair, bool joint, Device device)
      : student_(build_model(pair.student, 1, DType::f32, device)),
        teacher_(build_model(pair.teacher, 2, DType::f32, device)) {
    participants_[0].name = "student";
    participants_[0].model = student_.get();
    participants_[0].recipe.optimizer = SgdConfig{.momentum = 0.9};
    participants_[0].recipe.schedule = {.lr = 0.01};
    participants_[1].name = "teacher";
    participants_[1].model = teacher_.get();
    participants_[1].state = ModelState::frozen_eval;
    lesson_.sources = {1};
    lesson_.logits = KdLossOptions{.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1};
    if (joint)
      joint_ = std::make_unique<DistillStep>(participants_, std::vector{lesson_}, kSteps,
                                             StepOptions{.pack_frozen = true});
    else
      learner_ = std::make_unique<Learner>(participants_[0], std::vector<NamedParameter>{}, kSteps);
  }

  void operator()(const Batch& batch) {
    if (joint_)
      (*joint_)(batch, 0);
    else
      apart(batch);
  }

 private:
  static constexpr std::int64_t kSteps = 1000000;

  void apart(const Batch& batch) {
    std::optional<Arena::Step> in_arena;
    if (!batch.x.device().is_cuda()) in_arena.emplace(arena_);
    learner_->zero_grad();
    const View teacher = look(participants_[1], batch, {.learns = false});
    const View student = look(participants_[0], batch, {});
    learner_->backward(
        lesson_loss(lesson_, {0, kSteps}, student, {&teacher}, batch, batch.targets));
    learner_->step(0);
  }

  std::unique_ptr<ModelGraph> student_, teacher_;
  std::vector<Participant> participants_ = std::vector<Participant>(2);
  Lesson lesson_;
  std::unique_ptr<DistillStep> joint_;
  std::unique_ptr<Learner> learner_;
  Arena arena_;
};

Batch make_batch(Bench& bench, std::int64_t B) {
  Batch batch;
  batch.x = bench.random({B, 28, 28, 1});
  batch.labels = bench.random_index({B}, 10);
  batch.samples = bench.random_index({B}, 10);
  batch.targets = static_cast<double>(B);
  return batch;
}

}  // namespace

void bench_joint_step(Bench& bench) {
  for (const Pair& pair :
       {Pair{"mlp 800 from 1200", mlp(800), mlp(1200)},
        Pair{"mlp 100 from 400", mlp(100), mlp(400)}, Pair{"lenet 8 from 32", lenet(8), lenet(32)}})
    for (const std::int64_t B : {32, 128})
      for (const bool joint : {false, true}) {
        Step step(pair, joint, bench.device());
        bench.time(
            joint ? "joint_step/joint" : "joint_step/apart",
            detail::concat("batch=", B, " ", pair.name), {}, [&] { return make_batch(bench, B); },
            step);
      }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// A training run of a second: 300 drawn digits, small models with dropout and jitter.
#pragma once

#include <memory>
#include <string>

#include <limbeck/distill/trainer.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/weights.h>
#include <limbeck/tools/run.h>
#include <limbeck/tools/synthetic_digits.h>

namespace limbeck::testing {

inline LayerSpec layer(const std::string& type, std::int64_t out = 0, double p = 0) {
  LayerSpec spec;
  spec.type = type;
  spec.out = out;
  spec.p = p;
  return spec;
}

enum class SmallLoss { labels, teacher, teacher_logits };

/// 300 images make two batches of 128 and one of 44 per epoch, so both whole and last batches are
/// split when accumulating. `labels` uses SGD with momentum, jitter and dropout; the others AdamW,
/// with the teacher run on every batch (with jitter) or its logits computed before (without).
struct SmallRun {
  Tensor images, labels;
  std::unique_ptr<TensorSource> data;
  std::unique_ptr<Module> teacher, student;
  Teacher targets;
  TrainerOptions options;

  explicit SmallRun(SmallLoss loss, Device device = Device::cpu()) {
    images = Tensor::empty({300, 28, 28, 1}, DType::u8);
    labels = Tensor::empty({300}, DType::i32);
    draw_synthetic_digits(images, labels, 1);
    images = images.to(device);
    labels = labels.to(device);
    teacher = build_model({{28, 28, 1}, {layer("linear", 10)}}, 2, DType::f32, device);
    student = build_model(
        {{28, 28, 1},
         {layer("linear", 37), layer("relu"), layer("dropout", 0, 0.3), layer("linear", 10)}},
        3, DType::f32, device);
    options.recipe = {.epochs = 3,
                      .batch = 128,
                      .augment = {.vary = {.max_jitter = 2}},
                      .optimizer = AdamwConfig{},
                      .schedule = {.kind = ScheduleKind::cosine, .lr = 0.01}};
    options.seed = 5;
    options.report_every = 2;
    if (loss == SmallLoss::labels) {
      options.recipe.optimizer =
          SgdConfig{.momentum = 0.9, .nesterov = true, .parameters = {.weight_decay = 1e-4}};
      options.recipe.schedule.lr = 0.1;
      return;
    }
    options.distill = KdLossOptions{.tau = 4, .kd_weight = 0.9, .ce_weight = 0.1};
    if (loss == SmallLoss::teacher) {
      targets.model = teacher.get();
    } else {
      options.recipe.augment.vary.max_jitter = 0;
      targets.logits = predict(*teacher, images, {});
    }
  }

  Trainer trainer() {
    data = std::make_unique<TensorSource>(images, labels, 10, Preprocess{}, options.recipe.augment,
                                          options.seed);
    return Trainer(*student, *data, targets, options);
  }
  std::string digest() { return weights_digest(*student); }
};

/// Digest of the weights that the run ends in.
inline std::string digest_after_training(SmallLoss loss, std::int64_t accumulate = 1) {
  SmallRun run(loss);
  run.options.recipe.accumulate = accumulate;
  run.trainer().run();
  return run.digest();
}

}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Who takes part in a training run: models that learn, and what they learn from.
#pragma once

#include <string>
#include <variant>

#include <limbeck/distill/image_source.h>
#include <limbeck/kernels/kd_topk.h>
#include <limbeck/nn/module.h>
#include <limbeck/nn/optimizer.h>
#include <limbeck/nn/schedule.h>

namespace limbeck {

/// How one model is trained.
struct Recipe {
  std::int64_t epochs = 0;
  std::int64_t batch = 0;
  std::int64_t accumulate = 1;  ///< a batch is computed in this many parts; the bits stay the same
  Augment augment = {};         ///< of images; it is their source that varies them
  /// Of parameters and activations; bf16 and f16 have master weights in f32. Whoever builds the
  /// model reads this; losses are computed in f32.
  DType precision = DType::f32;
  double label_smoothing = 0;  ///< of the cross-entropy of labels (kernels/cross_entropy.h)
  std::variant<SgdConfig, AdamwConfig> optimizer = {};
  double ema_decay = 0;    ///< > 0: the run ends in the average of its weights (nn/ema.h)
  Schedule schedule = {};  ///< total_steps = 0 stands for the whole run
};

/// What a run does with a model. frozen_eval: reads it, in evaluation mode and without dropout.
/// frozen_batch_statistics: the same, but batch norms take the statistics of the batch.
enum class ModelState { trainable, frozen_eval, frozen_batch_statistics };

/// One of the models of a run, or the logits one had for every sample of the data, whole or the
/// largest of them, `model` null. A model is run on what all others see, in the dtype of its own
/// parameters.
struct Participant {
  std::string name = {};  ///< in messages and checkpoints
  Module* model = nullptr;
  ModelState state = ModelState::trainable;
  Recipe recipe = {};      ///< of a trainable one
  std::uint64_t seed = 0;  ///< of a trainable one's dropout
  Tensor logits = {};      ///< (N,V) f32, or (N,T,V) where every step has a label
  SparseTeacher top = {};  ///< the like of these, each with N in front

  bool trainable() const { return model && state == ModelState::trainable; }
};

}  // namespace limbeck

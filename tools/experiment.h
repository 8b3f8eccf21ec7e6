// SPDX-License-Identifier: Apache-2.0
// An experiment: data, a teacher, students to compare, seeds. What a run file says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <limbeck/distill/trainer.h>
#include <limbeck/nn/model.h>
#include <limbeck/nn/weights.h>
#include <limbeck/tools/dataset.h>
#include <limbeck/tools/distill_config.h>
#include <limbeck/tools/text_dataset.h>

namespace limbeck {

struct DataConfig {
  std::string source;
  SyntheticOptions synthetic;
  FolderOptions folder;
  std::optional<TextOptions> text;  ///< none: images
  Preprocess input;
};

/// Published figures to print beside ours, as numbers of test errors.
struct Reference {
  std::optional<double> errors;
  std::optional<double> swept_errors;       ///< those among the swept classes
  std::optional<double> best_errors;        ///< at the best offset
  std::optional<double> best_swept_errors;  ///< those among the swept classes
};

/// The teacher is trained here (`recipe`) or read from the safetensors file `weights`, in f32; with
/// another `dtype`, what students learn from is that model rounded to it.
struct TeacherConfig {
  ModelSpec model;
  DType dtype = DType::f32;
  std::optional<Recipe> recipe;
  std::string weights;
  std::string names;            ///< a name map's file (tools/name_map_json.h), for `weights`
  Match match = Match::strict;  ///< lenient: tensors may be missing or left over
  Reference reference;
};

/// One student, or another model that learns: in reverse mode one of the teacher's shape, in mutual
/// mode both.
struct Arm {
  std::string name;
  ModelSpec model;
  Recipe recipe;
  std::optional<DistillConfig> distill;  ///< none: trained on the labels
  /// Mutual: the one of the teacher's shape. Its recipe's epochs, batch, accumulate and augment are
  /// the student's.
  std::optional<TeacherConfig> partner;
  std::vector<std::int64_t> omit_classes;  ///< left out of its training data
  std::vector<std::int64_t> only_classes;  ///< all that is left of it; empty: no such limit
  std::vector<std::int64_t> bias_sweep;    ///< swept after training (distill/bias_sweep.h)
  Reference reference;
};

/// What an arm's models are called in results and folders: its name; in mutual mode also
/// "<name>-2".. of further students and "<name>-teacher".
std::vector<std::string> learner_names(const Arm& arm);

inline const std::string kTeacherName = "teacher";

struct Experiment {
  std::string name;
  DataConfig data;
  std::vector<std::uint64_t> seeds;
  std::optional<TeacherConfig> teacher;
  std::vector<Arm> arms;  ///< at least one
  std::int64_t report_every = 100;
  std::int64_t checkpoint_every = 1000;
};

/// The description of one that learner_names names, or of the teacher.
const ModelSpec& learner_model(const Experiment& experiment, const std::string& name);

/// Reads a run file. Keys, where [..] may be left out:
///   name, data {source, [format, train_samples, test_samples, seed, scale, shift, mean, std,
///   size, channels]},
///   or, for text, data {source, format, context, [tokenizer, vocabulary, token_bytes,
///   validation]}; seeds,
///   student {model, recipe}, [teacher {model, recipe or weights, [names, strict, dtype,
///   reference]}], [arms [{name, [model, recipe, distill, omit_classes, only_classes, bias_sweep,
///   reference]}]], [report_every, checkpoint_every] recipe {epochs, batch, [accumulate, augment
///   {[crop, pad, flip, brightness, contrast, mixup, cutmix]}, label_smoothing, precision,
///   ema_decay], optimizer {type, lr, weight_decay, [groups [{match, [lr_scale,
///   weight_decay]}], max_grad_norm, loss_scale], ...}, schedule {type, ...}}; distill as
///   tools/distill_json.h says
/// An arm without model or recipe has the student's, in reverse mode the teacher's; without arms
/// there is one, "student", trained on the labels. Models get their input shape later, from the
/// data. Throws std::invalid_argument as JsonObject does.
Experiment read_experiment(const nlohmann::json& file);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// What an arm of a run file trains: its models and their lessons.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <limbeck/nn/model_graph.h>
#include <limbeck/tools/experiment.h>

namespace limbeck {

/// A model that takes part in an arm.
struct ArmModel {
  ModelGraph* model = nullptr;
  Shape input;             ///< of one sample
  Recipe recipe = {};      ///< of one that learns
  std::uint64_t seed = 0;  ///< of its dropout
  /// One sample's outputs of its layers, by name, where there is no model.
  std::map<std::string, Shape> taps = {};
};

/// Of the matrix and the adapter of a lesson's feature.
std::uint64_t feature_seed(std::uint64_t seed, std::uint64_t lesson, std::size_t feature);

/// What an arm can ask for when it is planned.
struct ArmData {
  std::uint64_t seed = 0;  ///< of adapters and matrices
  Device device = Device::cpu();
  std::int64_t classes = 0;
  /// Whether samples look the same at every step, so that what a frozen model knows of them is
  /// computed once.
  bool fixed = false;
  std::function<std::unique_ptr<BatchSource>()> samples = {};  ///< of training, not augmented
  std::function<Tensor()> source_logits = {};                  ///< of all of them, by the source
};

struct ArmPlan {
  std::vector<Participant> participants;  ///< those that learn first
  std::vector<Lesson> lessons;
  std::optional<GatedLesson> gated = {};
  std::int64_t knowledge_bytes = 0;  ///< that each sample brings to the first learner
};

/// Forward and reverse: `receiver` learns from `source`, whose model is null for a virtual teacher
/// and for a cache.
ArmPlan plan_lesson(const DistillConfig& config, const ArmModel& receiver, const ArmModel& source,
                    const ArmData& data);
/// Mutual: the students, and then the one of the teacher's shape.
ArmPlan plan_mutual(const DistillConfig& config, const std::vector<ArmModel>& models,
                    const ArmData& data);

}  // namespace limbeck

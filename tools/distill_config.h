// SPDX-License-Identifier: Apache-2.0
// What a run file says of distillation, before there are models.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <limbeck/distill/ensemble.h>
#include <limbeck/distill/trainer.h>
#include <limbeck/distill/virtual_teacher.h>

namespace limbeck {

/// forward: the student learns from the teacher. reverse: a model of the teacher's shape learns
/// from the student. mutual: both learn from each other.
enum class Mode { forward, reverse, mutual };

/// What a feature loss is built for: one sample's taps of both models.
struct FeatureShapes {
  Shape receiver, source;
  std::uint64_t seed = 0;
  Device device = Device::cpu();
  Tensor mean = {}, variance = {};  ///< of the source's channels; undefined: they are not used
};
using MakeFeatureLoss = std::function<std::shared_ptr<FeatureLoss>(const FeatureShapes&)>;

/// One pair of layers, named by the models' roles whoever of them learns.
struct FeatureConfig {
  std::string technique;
  std::string student, teacher;
  double weight = 0;
  bool standardise = false;  ///< the source's channels (distill/standardise.h)
  MakeFeatureLoss make;
};

struct KnowledgeCache;

struct DistillConfig {
  Mode mode = Mode::forward;
  KdLossOptions logits;
  std::vector<FeatureConfig> features;
  LessonSchedule schedule;
  /// Of a model trained before: "teacher" or an arm that comes earlier. Empty in mutual mode and
  /// for a virtual teacher.
  std::string source;
  ModelState source_state = ModelState::frozen_eval;
  std::int64_t top_k = 0;  ///< so many of a source's logits teach, the largest; 0: all
  /// What takes the source's place (tools/knowledge_cache.h); `source` is empty then.
  std::shared_ptr<const KnowledgeCache> cache = {};
  std::optional<VirtualTeacherOptions> virtual_teacher = {};
  std::optional<ConfidenceOptions> confidence = {};
  double confidence_weight = 0;
  bool grow = false;  ///< reverse: the receiver starts as its source, made wider and deeper
  UpdateOrder order = UpdateOrder::simultaneous;  ///< mutual
  /// Mutual: what the lessons of each direction are multiplied by.
  double to_student = 1, to_teacher = 1;
  /// Mutual: what each is taught by the logits; none: each of the others in turn.
  std::optional<EnsembleOptions> ensemble = {};
  bool gated = false;        ///< mutual: by an ensemble with a gate (ONE)
  std::size_t students = 1;  ///< mutual: as many learn from each other and from the teacher
};

/// Of what a source's logits teach: whether there is any, and whether it is kd_weight's term alone.
bool learns_logits(const DistillConfig& config);
bool learns_forward_kl_alone(const DistillConfig& config);

}  // namespace limbeck

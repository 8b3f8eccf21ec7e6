// SPDX-License-Identifier: Apache-2.0
// What can be saved when several models are run on one batch: found once, before the first step.
#pragma once

#include <vector>

#include <limbeck/distill/lesson.h>
#include <limbeck/distill/participant.h>
#include <limbeck/kernels/joined_linear.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// A layer of one participant.
struct JoinedLayer {
  std::size_t participant = 0, node = 0;
};

/// Linear layers, convolutions of equal windows, or embeddings of one vocabulary, of different
/// models that read the same tensor, and so are computed side by side.
struct JoinedLayers {
  std::vector<JoinedLayer> layers;
  WeightStack stack = {};  ///< on a GPU: their parameters are its rows, but for embeddings
};

/// What one participant's model is asked for.
struct PlannedModel {
  ModelGraph* graph = nullptr;         ///< null: another module, or no model
  std::vector<std::size_t> taps = {};  ///< nodes whose values losses read, ascending
  std::vector<std::size_t> kept = {};  ///< of these: those of a receiver, kept for the tape
  std::map<std::size_t, PackedWeight> packed = {};  ///< of a frozen model's Linear nodes
};

/// Layers that are joined are computed apart on the CPU where their results are larger together:
/// they would have left a core's cache before they are read.
inline constexpr std::size_t kMaxJoinedBytes = std::size_t{4} << 20;

/// A frozen model's weights are packed up to this size: of larger ones there is no second copy.
inline constexpr std::size_t kMaxPackedBytes = std::size_t{16} << 20;

/// Logits of one model and batch from this size on are never held whole, where they need not be.
inline constexpr std::size_t kLargeLogitsBytes = std::size_t{64} << 20;

/// What all participants are asked for, by their number. Taps are the layers that the lessons name;
/// throws std::invalid_argument naming one that is not there.
struct JointPlan {
  std::vector<PlannedModel> models;
  std::vector<JoinedLayers> joined;
  /// The only lesson's loss can be made of hidden states and the weights of both models' last
  /// layers (distill/kd_head.h): no target, confidence, or smoothing of labels stands in its way.
  bool heads = false;
};

/// Layers are joined where nothing but layers that leave the values as they are (flatten, and
/// dropout of a frozen model) comes between the input and them, and they have the same dtype and as
/// many inputs, the same windows or as many tokens. On a GPU the parameters of linear layers and
/// convolutions that are joined move into one memory, where that keeps each of them 16-byte
/// aligned; handles to their tensors from before keep the old values, and of several plans with one
/// model the last has its parameters. With `pack_frozen`, on the CPU in MathMode::exact, weights of
/// frozen models are packed, a second copy of them: only where they stay as they are for as long as
/// the plan lives.
JointPlan make_joint_plan(const std::vector<Participant>& participants,
                          const std::vector<Lesson>& lessons, bool pack_frozen = false);

/// What layers that are joined write for a batch of inputs.
std::size_t joined_bytes(const JointPlan& plan, const std::vector<JoinedLayer>& layers,
                         const Shape& batch);

/// The rows of a batch at a time at which a frozen model runs on the CPU: few enough that what its
/// widest layer reads and writes stays in a core's cache. All rows where that is no more than 32
/// MiB for the whole batch, or where reading the weights once more for each share would cost more
/// than the values do: shares save memory, not time.
std::int64_t rows_in_cache(ModelGraph& graph, const Shape& batch);

}  // namespace limbeck

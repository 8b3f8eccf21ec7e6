// SPDX-License-Identifier: Apache-2.0
// What a model shows of a batch: its logits and some of its layers.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <limbeck/distill/feature_loss.h>
#include <limbeck/distill/participant.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// What logits are made of: hidden weight^T.
struct Head {
  Variable hidden;  ///< (R,H), a row for every label
  Variable weight;  ///< (V,H)
};

/// Logits, a row (V) for every label, and taps (B,...) by their layer's name; f32, or f64 of a
/// model in f64.
struct View {
  Variable logits;
  Head head = {};  ///< in the place of logits that are never held whole
  std::map<std::string, Variable> taps = {};
  SparseTeacher top = {};  ///< in the place of logits that were not stored whole
  /// What losses made of taps as they appeared, by the layer's name: those are not kept then.
  std::map<std::pair<const FeatureLoss*, std::string>, Tensor> codes = {};
};

struct ViewOptions {
  StepNumber step = 0;
  std::int64_t first_row = 0;         ///< of this part in its batch
  bool learns = true;                 ///< false: nothing is recorded, running statistics stay
  std::set<std::string> layers = {};  ///< to show; only a ModelGraph has any
};

/// The rows (B,...) of what was computed before for all samples (N,...); `samples` (B) i32.
Tensor stored_rows(const Tensor& stored, const Tensor& samples);

/// Runs a participant on a part of a batch, or takes its logits from those computed before. Throws
/// std::invalid_argument naming a layer that is not there.
View look(const Participant& participant, const Batch& part, const ViewOptions& options);

/// Internal, the parts of look(). What the model is told of a pass; the dtype of its parameters;
/// the numbers of some of its layers, ascending; its last value as rows of logits, and any value,
/// in f32 where they are 16-bit: those have f32 losses, whose gradients are scaled before they are
/// rounded.
Context context_of(const Participant& participant, const Batch& part, const ViewOptions& options);
DType dtype_of(Module& model);
std::vector<std::size_t> find_layers(const Participant& participant, const ModelGraph& graph,
                                     const std::set<std::string>& layers);
Variable logit_rows(const Variable& logits, const Batch& part);
Variable widened(const Variable& x);

}  // namespace limbeck

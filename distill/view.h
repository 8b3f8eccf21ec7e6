// SPDX-License-Identifier: Apache-2.0
// What a model shows of a batch: its logits and some of its layers.
#pragma once

#include <map>
#include <set>
#include <string>

#include <limbeck/distill/participant.h>

namespace limbeck {

/// Logits, a row (V) for every label, and taps (B,...) by their layer's name; f32, or f64 of a
/// model in f64.
struct View {
  Variable logits;
  std::map<std::string, Variable> taps = {};
  SparseTeacher top = {};  ///< in the place of logits that were not stored whole
};

struct ViewOptions {
  std::uint32_t step = 0;
  std::int64_t first_row = 0;         ///< of this part in its batch
  bool learns = true;                 ///< false: nothing is recorded, running statistics stay
  std::set<std::string> layers = {};  ///< to show; only a ModelGraph has any
};

/// The rows (B,...) of what was computed before for all samples (N,...); `samples` (B) i32.
Tensor stored_rows(const Tensor& stored, const Tensor& samples);

/// Runs a participant on a part of a batch, or takes its logits from those computed before. Throws
/// std::invalid_argument naming a layer that is not there.
View look(const Participant& participant, const Batch& part, const ViewOptions& options);

}  // namespace limbeck

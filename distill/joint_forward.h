// SPDX-License-Identifier: Apache-2.0
// All models of a run on one batch in one pass.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <limbeck/core/stream.h>
#include <limbeck/distill/joint_plan.h>
#include <limbeck/distill/view.h>

namespace limbeck {

/// Whom a pass is for.
struct JointPass {
  StepNumber step = 0;
  std::int64_t first_row = 0;  ///< of this part in its batch
  RunClock clock = {};
  std::vector<std::size_t> learners = {};  ///< participants that are recorded
  bool whole_logits = false;  ///< wanted by others than the lessons, however large they are
};

/// look() at every participant that the learners need, as one plan (distill/joint_plan.h):
/// - layers of several models that read the same tensor are one product, on the CPU where their
///   results stay in the cache;
/// - a frozen model's value is dropped after its last reader, and a tap that only a code is made of
///   as soon as that is there;
/// - on a GPU the models run side by side, on the CPU a frozen model whose values are large runs in
///   shares of the batch that stay in the cache, side by side on the threads;
/// - logits of a large vocabulary are not computed here: the views have hidden states, and the loss
///   goes through both heads in chunks.
/// In MathMode::exact on the CPU the bits are those of look(); on a GPU too, where the library
/// computes the rows of a product of stacked weights as it computes them apart.
class JointForward {
 public:
  /// Both are kept; models must outlive it, and make_joint_plan says what else it does to them.
  JointForward(std::vector<Participant> participants, std::vector<Lesson> lessons,
               bool pack_frozen = false);

  /// By the number of the participant; empty views of those that nobody needs.
  std::vector<View> operator()(const Batch& part, const JointPass& pass);

  const JointPlan& plan() const { return plan_; }

 private:
  struct Running;
  using Tap = std::function<void(std::size_t, const Variable&)>;

  bool needed(std::size_t participant, const JointPass& pass) const;
  bool by_heads(const Batch& part, const JointPass& pass) const;
  void set_result(std::size_t participant, const Variable& value, const Batch& part,
                  const Running& running, View& view) const;
  void run_joined(std::vector<Running>& running) const;
  std::vector<Variable> join(const std::vector<JoinedLayer>& present,
                             const std::vector<Running>& running, const Variable& x,
                             const WeightStack& stack) const;
  View view_of(std::size_t participant, const Batch& part, const JointPass& pass,
               const Running& running) const;
  Variable run_in_shares(std::size_t participant, const Batch& part, const Running& running,
                         const Tap& tap) const;
  void take_tap(std::size_t participant, const JointPass& pass, std::size_t node,
                const Variable& value, View& view) const;
  std::int64_t share_of(std::size_t participant, const Shape& batch);

  std::vector<Participant> participants_;
  std::vector<Lesson> lessons_;
  JointPlan plan_;
  std::vector<std::unique_ptr<Branch>> branches_;       ///< on a GPU, by participant
  std::vector<std::pair<Shape, std::int64_t>> shares_;  ///< rows_in_cache of the last batch
};

}  // namespace limbeck

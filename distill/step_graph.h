// SPDX-License-Identifier: Apache-2.0
// A training step as one graph: recorded once, and then launched.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <limbeck/core/graph.h>
#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/step_table.h>

namespace limbeck {

/// What a run does at a step.
struct StepWork {
  /// What changes from step to step and is read by `run` where it is used, of this step and of
  /// coming ones; the step itself first.
  std::function<std::vector<double>(std::int64_t step)> numbers;
  /// All that `run` reads on the host besides: where this is the same, so is what it queues.
  std::function<std::vector<double>()> key;
  /// The step itself for a batch, less what the host counts.
  std::function<void(const Batch& batch, std::span<const StepNumber> numbers)> run;
};

/// Runs the steps of a training run, on a GPU as one graph: a step whose key and kind of batch were
/// those of one not long before is recorded, and from then on every such step is one copy of its
/// numbers and one launch, without host reads or memory from the pool; a batch that its source does
/// not gather on the device is copied to where the recorded one was. Other steps, those of a ramp,
/// run directly, as all do on the CPU. Graphs of the kMaxGraphs kinds of step used last are kept:
/// of a whole batch, and of the shorter one that ends an epoch. A step that waits for the device
/// cannot be recorded: then all run directly. Either way the bits are the same.
class StepGraph {
 public:
  static constexpr std::size_t kMaxGraphs = 2;

  /// Places [first, last) of the order, as step `number`.
  struct Step {
    std::int64_t number, first, last;
  };

  /// `batch`: samples of a whole one. `counters`: i64 on the CPU, which running a step may count
  /// up, and a launch then does too. What is referred to must outlive it.
  StepGraph(BatchSource& data, std::int64_t batch, std::vector<Tensor> counters,
            bool capture = true);

  /// Tells the source too.
  void begin_epoch(std::vector<std::int32_t> order, std::uint32_t epoch);
  void run(const Step& step, const StepWork& work);

  std::int64_t launches() const { return launches_; }  ///< steps that were launches of a graph

 private:
  using Key = std::vector<double>;
  /// A kind of step that has been run.
  struct Kind {
    Key key;
    Batch fixed = {};                        ///< what the graph reads, unless it gathers
    std::vector<std::int64_t> counts = {};   ///< what a launch adds to the counters
    std::unique_ptr<Graph> graph = nullptr;  ///< from its second time on
  };
  Key key_of(const Step& step, const Batch& batch, const StepWork& work) const;
  Kind* seen(const Key& key);
  void record(Kind& kind, const Step& step, const Batch& batch, const StepWork& work);
  void launch(Kind& kind, const Step& step, const Batch& batch, const StepWork& work);
  void write_table(const Step& step, const StepWork& work);
  void work_as_recorded(const Batch& fixed, std::int64_t rows, const StepWork& work);

  BatchSource& data_;
  std::int64_t batch_;
  std::vector<Tensor> counters_;
  bool capture_;
  std::vector<std::int32_t> order_;
  std::optional<StepTable> table_;
  std::vector<Kind> kinds_;  ///< the one used last at the end
  std::int64_t launches_ = 0;
};

}  // namespace limbeck

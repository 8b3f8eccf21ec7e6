// SPDX-License-Identifier: Apache-2.0
// What the coming steps of a run differ by, on the device before they begin.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/step_number.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Numbers and samples of the coming steps, written by the host once for many. select() copies
/// those of one step to the place where its work reads them, the same one for all steps, so that
/// work which was queued once, in a captured graph, finds new ones at every launch.
class StepTable {
 public:
  struct Row {
    std::vector<double> numbers;
    std::vector<std::int32_t> samples;  ///< as many as the table has room for, or fewer
  };

  /// A place for so many numbers and samples of a step.
  StepTable(std::size_t numbers, std::size_t samples, Device device);

  /// The rows of steps first, first + 1, ..; those before are forgotten. The host waits for it.
  void write(std::int64_t first, const std::vector<Row>& rows);
  /// None is held any more.
  void clear() { table_ = Tensor(); }
  /// Whether step `step` has been written.
  bool holds(std::int64_t step) const;
  /// Queues one copy: numbers() and samples() are those of `step` from then on. Throws
  /// std::invalid_argument where it is not held.
  void select(std::int64_t step);

  /// Each to be read where it is used.
  std::vector<StepNumber> numbers() const;
  /// (B) i32, B being the samples there is room for.
  Tensor samples() const;

 private:
  std::int64_t words() const { return row_.numel(); }

  std::size_t count_;
  Tensor row_;    ///< i32 words: the numbers, two words each, and the samples
  Tensor table_;  ///< (steps, words)
  std::int64_t first_ = 0;
};

}  // namespace limbeck

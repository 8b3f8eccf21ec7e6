// SPDX-License-Identifier: Apache-2.0
// A number that changes from step to step: the learning rate, say.
#pragma once

#include <limbeck/core/host_device.h>

namespace limbeck {

/// Known when the work is queued, or read where it runs: a captured graph is queued once, and the
/// number that `at` points to is another one at each launch.
struct StepNumber {
  double value = 0;
  const double* at = nullptr;  ///< in the memory of the device that reads it; null: `value`

  StepNumber() = default;
  StepNumber(double known) : value(known) {}
  /// Read from there.
  static StepNumber read(const double* at) {
    StepNumber number;
    number.at = at;
    return number;
  }

  bool known() const { return at == nullptr; }
  LIMBECK_HD double get() const { return at ? *at : value; }
};

}  // namespace limbeck

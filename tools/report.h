// SPDX-License-Identifier: Apache-2.0
// The table at the end of a run.
#pragma once

#include <string>
#include <vector>

#include <limbeck/tools/experiment.h>
#include <limbeck/tools/results.h>

namespace limbeck {

/// One row per model (and one more for a bias sweep): parameters, test errors, agreement with the
/// teacher, ECE, time per step, and the reference figures where the run file has any; mean and
/// standard deviation over seeds. Ends in a newline.
std::string format_report(const Experiment& experiment, const std::vector<Result>& results);

/// A figure with so many digits after the point.
std::string fixed(double value, int digits);

/// Rows of cells as aligned columns, the first to the left, the others to the right, with a rule
/// under the first row. Widths count UTF-8 characters.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace limbeck

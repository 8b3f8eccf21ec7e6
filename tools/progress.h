// SPDX-License-Identifier: Apache-2.0
// Shows how far a training run is, how fast it goes and how long it has left.
#pragma once

#include <chrono>
#include <ostream>
#include <string>

#include <limbeck/distill/trainer.h>

namespace limbeck {

/// On a terminal one line that is written over; elsewhere a plain line every ten seconds and at the
/// end.
class ProgressLine {
 public:
  ProgressLine(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

  /// A new run called `label`; `done` of its steps are done already.
  void begin(const std::string& label, std::int64_t done);
  void update(const Progress& progress);
  /// The run is over: leaves the cursor on a fresh line. `note` is appended on that line.
  void end(const std::string& note);

  double seconds() const;  ///< since begin()

 private:
  using Clock = std::chrono::steady_clock;
  void show(const std::string& line);

  std::ostream& out_;
  bool terminal_;
  std::string label_, line_;
  std::int64_t first_step_ = 0;
  Clock::time_point begun_, shown_;
};

/// "0:07", "12:34" or "1:02:03".
std::string clock_time(double seconds);

}  // namespace limbeck

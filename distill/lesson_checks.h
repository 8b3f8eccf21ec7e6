// SPDX-License-Identifier: Apache-2.0
// The door of a training run.
#pragma once

#include <vector>

#include <limbeck/distill/lesson.h>

namespace limbeck {

/// Throws std::invalid_argument for participants and lessons that make no run: nobody who learns,
/// recipes of different length, lessons of or for nobody, losses without what they read, logits
/// computed before of data that is augmented, a batch in parts for a loss that compares samples.
void check_run(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons,
               const BatchSource& data);

}  // namespace limbeck

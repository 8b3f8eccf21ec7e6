// SPDX-License-Identifier: Apache-2.0
// The door of a training run.
#pragma once

#include <vector>

#include <limbeck/distill/lesson.h>

namespace limbeck {

/// Throws std::invalid_argument for participants and lessons that make no step: nobody who learns,
/// recipes of different length, lessons of or for nobody, losses without what they read, a batch in
/// parts for a loss that compares samples.
void check_step(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons);

/// The same for a run: recipes without epochs or batches, and what was computed before of data that
/// is augmented.
void check_run(const std::vector<Participant>& participants, const std::vector<Lesson>& lessons,
               const BatchSource& data);

}  // namespace limbeck

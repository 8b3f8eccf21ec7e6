// SPDX-License-Identifier: Apache-2.0
// What happens in a step of an arm that distils, for people.
#pragma once

#include <string>

#include <limbeck/tools/experiment.h>

namespace limbeck {

/// Who learns what from whom, and of every model the ops that it runs in their order, as the joint
/// plan of all of them has it (distill/joint_plan.h): what each reads and makes of one sample,
/// whether a lesson taps it, which layers of other models are part of the same product, and after
/// which layer its value is let go. `input` is one sample. Throws std::invalid_argument as
/// build_model does, naming a tapped layer that is not there, and for an arm without "distill".
std::string draw_arm(const Experiment& experiment, const Arm& arm, const Shape& input);

}  // namespace limbeck

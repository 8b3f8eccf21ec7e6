// SPDX-License-Identifier: Apache-2.0
// An arm of a run file made ready to train: its models with their first weights, and their plan.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <limbeck/tools/arm_plan.h>
#include <limbeck/tools/seed_models.h>

namespace limbeck {

/// The random streams of the teacher's weights and dropout.
std::uint64_t teacher_stream(std::uint64_t seed);

struct ArmSetup {
  std::vector<std::unique_ptr<ModelGraph>> learners;  ///< as learner_names has them
  ArmPlan plan;                                       ///< points at them
  RunOptions options;                                 ///< seed, samples, order and gate
};

/// `known` has the models that were trained before, and must outlive the setup. All students of a
/// seed start from the same weights where their models are equal. Throws std::invalid_argument as
/// plan_lesson does, and for an arm that is left without samples.
ArmSetup set_up_arm(const Arm& arm, const RunPlace& place, std::uint64_t seed, SeedModels& known);

}  // namespace limbeck

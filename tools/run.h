// SPDX-License-Identifier: Apache-2.0
// Carries out an experiment: per seed the teacher, then every student, each trained and measured.
#pragma once

#include <vector>

#include <limbeck/tools/experiment.h>
#include <limbeck/tools/progress.h>
#include <limbeck/tools/results.h>
#include <limbeck/tools/run_data.h>
#include <limbeck/tools/run_folder.h>

namespace limbeck {

/// Digest of a model's weights and their names, as a file holds them.
std::string weights_digest(Module& model);

/// Trains and measures everything on `device`. Jobs the folder holds a result of are not run again,
/// and one with a checkpoint goes on from there. All students of a seed start from the same weights
/// (where their models are equal) and see the same order of samples. Results are seed by seed, the
/// teacher first.
std::vector<Result> run_experiment(const Experiment& experiment, const RunData& data,
                                   const RunFolder& folder, Device device, ProgressLine& progress);

}  // namespace limbeck

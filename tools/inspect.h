// SPDX-License-Identifier: Apache-2.0
// limbeck eval and info: looks at models and runs that exist.
#pragma once

#include <ostream>
#include <string>

#include <limbeck/tools/data_options.h>
#include <limbeck/tools/loaded_model.h>
#include <limbeck/tools/machine.h>

namespace limbeck {

struct EvalArguments {
  ModelFiles model;
  DataArguments data;
  MachineOptions machine;
};

/// Errors, NLL and ECE of a model on the test data, of text also its bits.
void eval_command(const EvalArguments& arguments, std::ostream& out);
/// Of a weights file its tensors, of a run folder its table, of a model file or a run file (.json)
/// its layers, of a run file also what a step of its last arm that distils does, of nothing ("")
/// this program and machine.
void info_command(const std::string& path, std::ostream& out);

}  // namespace limbeck

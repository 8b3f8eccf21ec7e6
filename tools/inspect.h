// SPDX-License-Identifier: Apache-2.0
// limbeck eval, compare and info: looks at models and runs that exist.
#pragma once

#include <ostream>
#include <string>

#include <limbeck/tools/dataset.h>
#include <limbeck/tools/machine.h>

namespace limbeck {

struct InspectArguments {
  std::string weights;         ///< safetensors; for compare the student's
  std::string teacher;         ///< compare: safetensors
  std::string model;           ///< JSON file {"layers": [...]} for weights that do not say
  std::string teacher_model;   ///< the same for the teacher
  std::string names;           ///< name map (tools/name_map_json.h) for the weights
  std::string teacher_names;   ///< the same for the teacher's
  std::string data;            ///< as load_dataset's source
  SyntheticOptions synthetic;  ///< for the built-in data
  FolderOptions folder;        ///< for a folder's
  MachineOptions machine;
};

/// Errors, NLL and ECE of a model on the test images.
void eval_command(const InspectArguments& arguments, std::ostream& out);
/// The same of two models, and how alike they are.
void compare_command(const InspectArguments& arguments, std::ostream& out);
/// Of a weights file its tensors, of a run folder its table, of a model file or a run file (.json)
/// its layers, of nothing ("") this program and machine.
void info_command(const std::string& path, std::ostream& out);

}  // namespace limbeck

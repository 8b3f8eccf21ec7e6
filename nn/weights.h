// SPDX-License-Identifier: Apache-2.0
// A model's weights in files, with PyTorch's names and layouts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include <limbeck/nn/module.h>
#include <limbeck/nn/name_map.h>
#include <limbeck/nn/weight_files.h>

namespace limbeck {

/// Parameters and buffers as a file holds them: dotted names, on the CPU, conv weights OIHW,
/// columns of a linear layer after an image in (C,H,W) order.
SafetensorsFile export_weights(Module& module, std::map<std::string, std::string> metadata = {});
/// The gradients that backward() left in the parameters, as a file would hold them.
SafetensorsFile export_gradients(Module& module);
/// strict: every tensor of the model is in the file and every one of the file in the model.
/// lenient: what is missing keeps its value, what is unexpected is left alone; yet one tensor must
/// fit.
enum class Match { strict, lenient };

/// Copies a file's tensors into parameters and buffers, converting between floating dtypes; extents
/// of 1 may be missing or added. PyTorch's counters "num_batches_tracked" may be missing on either
/// side. Throws std::invalid_argument in one line that names every mis-shaped tensor with both
/// shapes, every one with a value beyond its parameter's dtype and, when strict, every missing or
/// unexpected one, and then changes nothing. Returns what was missing or unexpected, ";
/// "-separated; empty when nothing was.
std::string import_weights(Module& module, const SafetensorsFile& file,
                           Match match = Match::strict);

/// export_weights and write_safetensors. Throws IoError.
void save_weights(Module& module, const std::string& path,
                  std::map<std::string, std::string> metadata = {});
struct LoadOptions {
  std::vector<NameRule> names = {};  ///< applied first
  Match match = Match::strict;
};

/// read_weight_files, rename_weights and import_weights; every complaint is an IoError that begins
/// with the path.
std::string load_weights(Module& module, const std::string& path, const LoadOptions& options = {});

}  // namespace limbeck

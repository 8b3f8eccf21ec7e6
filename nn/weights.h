// SPDX-License-Identifier: Apache-2.0
// A model's weights in files, with PyTorch's names and layouts.
#pragma once

#include <map>
#include <string>

#include <limbeck/nn/module.h>
#include <limbeck/nn/safetensors.h>

namespace limbeck {

/// Parameters and buffers as a file holds them: dotted names, on the CPU, conv weights OIHW,
/// columns of a linear layer after an image in (C,H,W) order.
SafetensorsFile export_weights(Module& module, std::map<std::string, std::string> metadata = {});
/// The gradients that backward() left in the parameters, as a file would hold them.
SafetensorsFile export_gradients(Module& module);
/// Copies a file's tensors into parameters and buffers, converting between floating dtypes. Throws
/// std::invalid_argument in one line that names every missing, unexpected or mis-shaped tensor with
/// both shapes, and every one with a value beyond its parameter's dtype, and then changes nothing.
void import_weights(Module& module, const SafetensorsFile& file);

/// export_weights and write_safetensors. Throws IoError.
void save_weights(Module& module, const std::string& path,
                  std::map<std::string, std::string> metadata = {});
/// read_safetensors and import_weights; every complaint is an IoError that begins with the path.
void load_weights(Module& module, const std::string& path);

}  // namespace limbeck

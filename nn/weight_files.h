// SPDX-License-Identifier: Apache-2.0
// Weights wherever they lie: one file, several with an index, a model's folder.
#pragma once

#include <string>

#include <limbeck/nn/safetensors.h>

namespace limbeck {

/// Reads `path`: a .safetensors file; an index (.json) {"weight_map": {tensor: file, ...}} whose
/// files lie beside it; or a folder that holds model.safetensors or model.safetensors.index.json,
/// as Hugging Face stores models. Throws IoError in one line: as read_safetensors; a malformed
/// index; a shard that is missing, lacks a tensor the index places in it, or holds one that it does
/// not.
SafetensorsFile read_weight_files(const std::string& path);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/weight_files.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>

namespace limbeck {
namespace {

namespace fs = std::filesystem;

/// The tensors of each shard, from an index file.
std::map<std::string, std::set<std::string>> read_index(const std::string& path) {
  const MappedFile file = map_file(path);
  std::map<std::string, std::set<std::string>> shards;
  try {
    const auto json = nlohmann::json::parse(file.data.get(), file.data.get() + file.size);
    for (const auto& [tensor, shard] : json.at("weight_map").items())
      shards[shard.get<std::string>()].insert(tensor);
  } catch (const nlohmann::json::exception& e) {
    throw IoError(detail::concat(path, ": malformed index: ", e.what()));
  }
  return shards;
}

/// Appends a shard's tensors, which must be those the index promises.
void append_shard(SafetensorsFile& all, const std::string& index, const std::string& shard,
                  std::set<std::string> promised) {
  const std::string path = fs::path(index).replace_filename(shard);
  if (!fs::exists(path)) throw IoError(detail::concat(index, ": shard ", path, " is missing"));
  SafetensorsFile file = read_safetensors(path);
  for (auto& [name, tensor] : file.tensors) {
    if (promised.erase(name) == 0)
      throw IoError(
          detail::concat(path, ": holds '", name, "', which ", index, " does not place in it"));
    all.tensors.emplace_back(name, std::move(tensor));
  }
  if (!promised.empty())
    throw IoError(
        detail::concat(path, ": lacks '", *promised.begin(), "', which ", index, " places in it"));
  all.metadata.merge(file.metadata);
}

SafetensorsFile read_sharded(const std::string& index) {
  SafetensorsFile all;
  for (const auto& [shard, tensors] : read_index(index)) append_shard(all, index, shard, tensors);
  std::sort(all.tensors.begin(), all.tensors.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  return all;
}

}  // namespace

SafetensorsFile read_weight_files(const std::string& path) {
  if (path.ends_with(".json")) return read_sharded(path);
  if (!fs::is_directory(path)) return read_safetensors(path);
  for (const char* name : {"model.safetensors", "model.safetensors.index.json"})
    if (const fs::path file = fs::path(path) / name; fs::exists(file))
      return read_weight_files(file);
  throw IoError(path + ": holds neither model.safetensors nor model.safetensors.index.json");
}

}  // namespace limbeck

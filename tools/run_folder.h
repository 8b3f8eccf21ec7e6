// SPDX-License-Identifier: Apache-2.0
// The folder a run leaves behind: run.json, and per model and seed its weights, metrics and result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/results.h>

namespace limbeck {

/// One model with one seed: <run>/seed-<seed>/<model>/.
class JobFolder {
 public:
  JobFolder(const std::filesystem::path& run, std::uint64_t seed, const std::string& model);

  std::string weights() const { return (path_ / "weights.safetensors").string(); }
  std::string checkpoint() const { return (path_ / "checkpoint.safetensors").string(); }
  /// The result of an earlier run that got this far.
  std::optional<Result> result() const;
  /// Marks the job as done; its checkpoint goes.
  void finish(const Result& result) const;
  /// Appends one line to metrics.jsonl. Throws IoError when it cannot be written.
  void log(const nlohmann::json& line) const;
  /// Drops the lines of steps after `step`, which a resumed run writes again.
  void rewind_log(std::int64_t step) const;

 private:
  std::filesystem::path path_;
};

class RunFolder {
 public:
  /// Makes the folder and proves that it can be written; throws IoError. With `resume` it must hold
  /// a run.json, without it must not.
  RunFolder(const std::string& path, bool resume);

  const std::filesystem::path& path() const { return path_; }
  JobFolder job(std::uint64_t seed, const std::string& model) const;
  nlohmann::json read_run() const;
  void write_run(const nlohmann::json& run) const;

 private:
  std::filesystem::path path_;
};

/// `runs/<name>`, or the first of `runs/<name>-2`, ... that does not exist.
std::string free_run_folder(const std::string& name);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run_folder.h>

#include <fstream>
#include <sstream>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>
#include <limbeck/tools/json_object.h>

namespace limbeck {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

void write_json(const fs::path& path, const json& value) {
  const std::string text = value.dump(2) + "\n";
  const std::string_view part = text;
  write_file_atomically(path.string(), {&part, 1});
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw IoError(path.string() + ": cannot be made: " + error.message());
}

}  // namespace

JobFolder::JobFolder(const fs::path& run, std::uint64_t seed, const std::string& model)
    : path_(run / ("seed-" + std::to_string(seed)) / model) {
  make_folder(path_);
}

std::optional<Result> JobFolder::result() const {
  const std::string file = (path_ / "result.json").string();
  if (!fs::exists(file)) return std::nullopt;
  return read_result(read_json_file(file), file);
}

void JobFolder::finish(const Result& result) const {
  write_json(path_ / "result.json", write_result(result));
  fs::remove(checkpoint());
}

void JobFolder::log(const json& line) const {
  const fs::path file = path_ / "metrics.jsonl";
  std::ofstream out(file, std::ios::app);
  out << line.dump() << "\n" << std::flush;
  if (!out) throw IoError(file.string() + ": cannot be written");
}

void JobFolder::rewind_log(std::int64_t step) const {
  const fs::path file = path_ / "metrics.jsonl";
  std::ifstream in(file);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    const json entry = json::parse(line, nullptr, false);  // a killed run may leave half a line
    if (entry.is_object() && entry.value("step", step + 1) <= step) kept += line + "\n";
  }
  const std::string_view part = kept;
  write_file_atomically(file.string(), {&part, 1});
}

RunFolder::RunFolder(const std::string& path, bool resume) : path_(path) {
  make_folder(path_);
  const bool has_run = fs::exists(path_ / "run.json");
  if (resume && !has_run) throw IoError(path + ": holds no run.json; there is nothing to resume");
  if (!resume && has_run)
    throw IoError(path + ": holds a run already; name another folder with --out, or --resume it");
  const std::string_view nothing;
  const fs::path probe = path_ / ".probe";
  write_file_atomically(probe.string(), {&nothing, 1});
  fs::remove(probe);
}

JobFolder RunFolder::job(std::uint64_t seed, const std::string& model) const {
  return JobFolder(path_, seed, model);
}

json RunFolder::read_run() const { return read_json_file((path_ / "run.json").string()); }

void RunFolder::write_run(const json& run) const { write_json(path_ / "run.json", run); }

std::string free_run_folder(const std::string& name) {
  std::string path = "runs/" + name;
  for (int i = 2; fs::exists(path); ++i) path = "runs/" + name + "-" + std::to_string(i);
  return path;
}

}  // namespace limbeck

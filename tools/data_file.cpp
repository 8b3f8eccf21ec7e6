// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/data_file.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace limbeck {

std::string read_data_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) data_error(path, "cannot be opened");
  std::ostringstream bytes;
  bytes << in.rdbuf();
  if (in.bad() || bytes.view().empty()) data_error(path, "is empty or cannot be read");
  return std::move(bytes).str();
}

std::string data_path(const std::string& folder, const std::string& name) {
  std::string path = (std::filesystem::path(folder) / name).string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) data_error(path, "no such file");
  return path;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// The rules of the house that a compiler does not check: which folder may include which, how long a
// file may be, where JSON and CUDA headers may appear.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct SourceFile {
  std::string path;  // relative to the root
  std::vector<std::string> lines;
  std::string folder() const { return path.substr(0, path.find('/')); }
  std::string extension() const { return fs::path(path).extension(); }
};

std::vector<SourceFile> sources() {
  std::vector<SourceFile> files;
  for (const char* folder : {"core", "kernels", "autograd", "nn", "distill", "tools", "tests"})
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(LIMBECK_SOURCE_DIR) / folder)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh" &&
          extension != ".py" && extension != ".sh")
        continue;
      SourceFile file{fs::relative(entry.path(), LIMBECK_SOURCE_DIR), {}};
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) file.lines.push_back(line);
      files.push_back(std::move(file));
    }
  return files;
}

std::vector<std::string> includes(const SourceFile& file) {
  static const std::regex pattern(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::vector<std::string> found;
  std::smatch match;
  for (const auto& line : file.lines)
    if (std::regex_search(line, match, pattern)) found.push_back(match[1]);
  return found;
}

TEST(House, ArrowsPointOneWay) {
  const std::map<std::string, int> level = {{"core", 0}, {"kernels", 1}, {"autograd", 2},
                                            {"nn", 3},   {"distill", 4}, {"tools", 5},
                                            {"tests", 6}};
  for (const auto& file : sources())
    for (const auto& include : includes(file)) {
      if (!include.starts_with("limbeck/")) continue;
      const std::string target = include.substr(8, include.find('/', 8) - 8);
      ASSERT_TRUE(level.contains(target)) << file.path << " includes " << include;
      // The emulated GPU is a backend of core's, kept with the tests.
      if (file.path == "core/gpu.h" && include.starts_with("limbeck/tests/simt/")) continue;
      EXPECT_LE(level.at(target), level.at(file.folder())) << file.path << " includes " << include;
    }
}

TEST(House, FilesAreShort) {
  std::vector<std::size_t> lengths;
  for (const auto& file : sources()) {
    EXPECT_LE(file.lines.size(), 400u) << file.path;
    lengths.push_back(file.lines.size());
  }
  std::sort(lengths.begin(), lengths.end());
  EXPECT_LE(lengths[lengths.size() / 2], 120u) << "median length of a file";
}

TEST(House, JsonStaysAtTheEdge) {
  for (const auto& file : sources())
    for (const auto& include : includes(file))
      if (include.starts_with("nlohmann/")) {
        EXPECT_TRUE(file.folder() == "tools" || file.folder() == "tests" ||
                    file.path == "nn/safetensors.cpp" ||  // the format's header and
                    file.path == "nn/weight_files.cpp")   // its index of shards are JSON
            << file.path;
      }
}

TEST(House, CudaHeadersStayInCudaFiles) {
  // Two internal headers carry the runtime for .cu files; no public header does.
  for (const auto& file : sources())
    for (const auto& include : includes(file))
      if (include.starts_with("cuda") || include.starts_with("cublas") ||
          include.starts_with("cudnn")) {
        EXPECT_TRUE(file.extension() == ".cu" || file.extension() == ".cuh" ||
                    file.path == "core/gpu.h" || file.path == "core/cuda_check.h")
            << file.path << " includes " << include;
      }
}

TEST(House, EveryFileSaysItsLicence) {
  for (const auto& file : sources()) {
    ASSERT_FALSE(file.lines.empty()) << file.path;
    const bool script = file.lines[0].starts_with("#!");
    ASSERT_GT(file.lines.size(), 1u) << file.path;
    EXPECT_NE(file.lines[script ? 1 : 0].find("SPDX-License-Identifier: Apache-2.0"),
              std::string::npos)
        << file.path;
  }
}

}  // namespace

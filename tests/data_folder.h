// SPDX-License-Identifier: Apache-2.0
// Where tests look for real data, which is never part of the source tree.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace limbeck::testing {

/// $LIMBECK_DATA/name, or ../shared/data/name beside the source tree.
inline std::string data_folder(const std::string& name) {
  const char* set = std::getenv("LIMBECK_DATA");
  const std::filesystem::path tree =
      std::filesystem::canonical(__FILE__).parent_path().parent_path();
  return (set ? std::filesystem::path(set) : tree.parent_path() / "shared" / "data") / name;
}

}  // namespace limbeck::testing

/// Skips the test, by name, where folder `name` of the data is not there.
#define LIMBECK_SKIP_WITHOUT_DATA(name)                              \
  if (!std::filesystem::exists(limbeck::testing::data_folder(name))) \
  GTEST_SKIP() << limbeck::testing::data_folder(name) << " is not there (set LIMBECK_DATA)"

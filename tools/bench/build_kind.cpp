// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/build_kind.h>

#include <string_view>

namespace limbeck {

bool is_emulated([[maybe_unused]] Device device) {
#ifdef LIMBECK_SIMT
  return device.is_cuda();
#else
  return false;
#endif
}

std::string slow_build(Device device) {
  std::string kinds;
  const auto add = [&](const std::string& kind) { kinds += (kinds.empty() ? "" : ", ") + kind; };
#ifndef NDEBUG
  add("debug");
#endif
  const std::string_view sanitizers{LIMBECK_SANITIZERS};  // from CMake
  if (!sanitizers.empty()) add("sanitized (" + std::string(sanitizers) + ")");
  if (is_emulated(device)) add("emulated GPU");
  return kinds;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/source_line.h>

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <memory>

#include <limbeck/core/error.h>

extern "C" const char __executable_start, _end;  // set by the linker

namespace limbeck::simt {

std::string source_line(const void* pc) {
  Dl_info image;
  if (dladdr(pc, &image) == 0) return limbeck::detail::concat(pc);
  const auto offset = static_cast<const char*>(pc) - 1 - static_cast<const char*>(image.dli_fbase);
  const std::string command =
      limbeck::detail::concat("addr2line -i -e '", image.dli_fname, "' ", std::hex, offset);
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string place;
  char buffer[1024];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) {
    place = std::string(buffer).substr(0, std::string(buffer).find_first_of(" \n"));
    if (place.find("tests/simt/") == std::string::npos &&
        place.find("/include/c++/") == std::string::npos)
      break;
  }
  return place.empty() ? limbeck::detail::concat(pc) : place.substr(place.rfind('/') + 1);
}

bool is_constant(const void* p) {
  return p >= static_cast<const void*>(&__executable_start) && p < static_cast<const void*>(&_end);
}

}  // namespace limbeck::simt

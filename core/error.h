// SPDX-License-Identifier: Apache-2.0
// Errors: what limbeck throws and the one macro that checks at the door.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace limbeck {

/// A file or device could not be used as asked (missing, truncated, full, not writable).
struct IoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A GPU, cuBLAS or cuDNN call failed, or a GPU was asked for where there is none.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}
}  // namespace detail

}  // namespace limbeck

/// Throws std::invalid_argument with the concatenated parts unless `cond` holds. The message reads
/// `<op>: <argument> <actual>; expected <rule>`. Always on; meant for public entry points only.
#define LIMBECK_CHECK(cond, ...)                                           \
  do {                                                                     \
    if (!(cond)) [[unlikely]]                                              \
      throw std::invalid_argument(::limbeck::detail::concat(__VA_ARGS__)); \
  } while (0)

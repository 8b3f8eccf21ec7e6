// SPDX-License-Identifier: Apache-2.0
// Small .npy files for tests, whole or broken.
#pragma once

#include <cstring>
#include <string>
#include <vector>

namespace limbeck::testing {

/// `header` padded as numpy does it, then `body` as it is.
inline std::string npy_bytes(std::string header, const std::string& body, int version = 1) {
  const std::size_t start = version == 1 ? 10 : 12;
  while ((start + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (std::size_t i = 0; i < start - 8; ++i)
    bytes += static_cast<char>(header.size() >> (8 * i) & 255u);
  return bytes + header + body;
}

/// The file numpy.save makes of `values` with this descr ("<f4") and shape ("(2, 3)").
template <class T>
std::string npy(const std::string& descr, const std::string& shape, const std::vector<T>& values) {
  std::string body(values.size() * sizeof(T), '\0');
  std::memcpy(body.data(), values.data(), body.size());
  return npy_bytes("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }",
                   body);
}

}  // namespace limbeck::testing

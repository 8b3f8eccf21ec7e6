// SPDX-License-Identifier: Apache-2.0
// Small idx files for tests, whole or broken.
#pragma once

#include <zlib.h>

#include <initializer_list>
#include <string>

namespace limbeck::testing {

/// `rank` and extents as the header says them, then `body` as it is.
inline std::string idx_bytes(std::initializer_list<unsigned> extents, const std::string& body) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (unsigned extent : extents)
    for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>(extent >> shift & 255u);
  return bytes + body;
}

/// One gzip member, as `gzip -n` makes it.
inline std::string gzip(const std::string& bytes) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&z, bytes.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(packed.data());
  z.avail_out = static_cast<uInt>(packed.size());
  deflate(&z, Z_FINISH);
  packed.resize(z.total_out);
  deflateEnd(&z);
  return packed;
}

}  // namespace limbeck::testing

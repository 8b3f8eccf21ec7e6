// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/token_file.h>

#include <limbeck/core/error.h>
#include <limbeck/core/file.h>

namespace limbeck {
namespace {

void check_width(int bytes) {
  LIMBECK_CHECK(bytes == 2 || bytes == 4, "token file: ", bytes, " bytes a token; expected 2 or 4");
}

}  // namespace

TokenRow map_tokens(const std::string& path, int bytes) {
  check_width(bytes);
  const MappedFile file = map_file(path);
  const auto width = static_cast<std::size_t>(bytes);
  if (file.size == 0) throw IoError(path + ": is empty; expected tokens");
  if (file.size % width != 0)
    throw IoError(detail::concat(path, ": ", file.size, " bytes; expected a multiple of ", bytes,
                                 ", the bytes of one token"));
  return {file.data, static_cast<std::int64_t>(file.size / width), bytes};
}

void write_tokens(const std::string& path, const std::vector<std::uint32_t>& tokens, int bytes) {
  check_width(bytes);
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    LIMBECK_CHECK(bytes == 4 || tokens[i] <= 0xffffu, "token file: token ", tokens[i], " at place ",
                  i, "; expected at most 65535 in 2 bytes");
    for (int b = 0; b < bytes; ++b) text += static_cast<char>(tokens[i] >> (8 * b) & 0xffu);
  }
  const std::string_view parts[] = {text};
  write_file_atomically(path, parts);
}

}  // namespace limbeck

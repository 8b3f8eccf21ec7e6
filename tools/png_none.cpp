// SPDX-License-Identifier: Apache-2.0
// In place of tools/png.cpp where libpng is not installed.
#include <limbeck/tools/data_file.h>
#include <limbeck/tools/image_file.h>

namespace limbeck {

bool png_available() { return false; }

ImageSize read_png(const std::string& path, const std::string&, Image*) {
  data_error(path, "this build cannot read PNG; install libpng-dev and build again");
}

}  // namespace limbeck

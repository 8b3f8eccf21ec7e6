// SPDX-License-Identifier: Apache-2.0
// In place of tools/jpeg.cpp where libjpeg is not installed.
#include <limbeck/tools/data_file.h>
#include <limbeck/tools/image_file.h>

namespace limbeck {

bool jpeg_available() { return false; }

ImageSize read_jpeg(const std::string& path, const std::string&, Image*) {
  data_error(path, "this build cannot read JPEG; install libjpeg-dev and build again");
}

}  // namespace limbeck

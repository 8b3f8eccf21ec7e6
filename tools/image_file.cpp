// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/image_file.h>

#include <limbeck/tools/data_file.h>

namespace limbeck {
namespace {

ImageSize read_image(const std::string& path, const std::string& bytes, Image* image) {
  if (bytes.starts_with("\xff\xd8")) return read_jpeg(path, bytes, image);
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return read_png(path, bytes, image);
  data_error(path, "is neither JPEG nor PNG");
}

}  // namespace

Image decode_image(const std::string& path, const std::string& bytes) {
  Image image;
  read_image(path, bytes, &image);
  return image;
}

ImageSize image_size(const std::string& path, const std::string& bytes) {
  return read_image(path, bytes, nullptr);
}

}  // namespace limbeck

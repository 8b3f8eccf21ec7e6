// SPDX-License-Identifier: Apache-2.0
// Folders of image files, one folder per class.
#pragma once

#include <string>
#include <vector>

#include <limbeck/tools/image.h>

namespace limbeck {

/// What the images of a folder become.
struct FolderImages {
  ImageSize size;    ///< resized (tools/image.h) to this; 0x0: all have one size, and keep it
  int channels = 3;  ///< 3: red, green and blue; 1: grey
};

/// Image files with their labels, in the order of class and name.
struct ImageFolder {
  FolderImages images;  ///< with the size they have, or get
  bool resizes = false;
  std::vector<std::string> classes;  ///< label i is that of classes[i]; sorted
  std::vector<std::string> files;    ///< paths
  std::vector<std::int32_t> labels;
  std::string digest;  ///< of names and contents of all files, and of `images`

  std::size_t image_bytes() const {
    return static_cast<std::size_t>(images.size.height * images.size.width * images.channels);
  }
  /// Reads, decodes and resizes file i; writes image_bytes() bytes, (H,W,C). Throws IoError.
  void load(std::int32_t i, std::uint8_t* pixels) const;
};

/// Lists the images .jpg, .jpeg and .png of folder/<class>/ and reads the header of each; names
/// that begin with a dot are passed over. `classes`: what classes there must be; empty: any. Throws
/// IoError in one line: no class, a class without images, another file, a class that is missing or
/// not expected, an image that is broken (tools/image_file.h) or of another size than the first.
ImageFolder list_image_folder(const std::string& folder, const FolderImages& images,
                              const std::vector<std::string>& classes = {});

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/image_folder.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <limbeck/core/parallel.h>
#include <limbeck/tools/data_file.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/image_file.h>

namespace limbeck {
namespace {

namespace fs = std::filesystem;

/// Entries of a folder, sorted by the bytes of their names.
std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> list;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (!entry.path().filename().string().starts_with('.')) list.push_back(entry.path());
  if (error) data_error(folder.string(), "cannot be listed (", error.message(), ")");
  std::sort(list.begin(), list.end());
  return list;
}

bool is_image(const fs::path& path) {
  std::string end = path.extension().string();
  for (char& c : end) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return end == ".jpg" || end == ".jpeg" || end == ".png";
}

void list_class(const fs::path& path, ImageFolder& folder) {
  if (!fs::is_directory(path))
    data_error(path.string(), "lies beside the classes; expected folders, one per class");
  const auto label = static_cast<std::int32_t>(folder.classes.size());
  folder.classes.push_back(path.filename().string());
  const std::size_t before = folder.files.size();
  for (const fs::path& file : entries(path)) {
    if (!is_image(file)) data_error(file.string(), "is no .jpg, .jpeg or .png");
    folder.files.push_back(file.string());
    folder.labels.push_back(label);
  }
  if (folder.files.size() == before)
    data_error(path.string(), "holds no image; expected .jpg, .jpeg or .png");
}

/// Both lists are sorted.
void check_classes(const std::string& path, const std::vector<std::string>& have,
                   const std::vector<std::string>& expected) {
  for (const std::string& name : expected)
    if (!std::binary_search(have.begin(), have.end(), name))
      data_error(path, "has no folder for class \"", name, "\"");
  for (const std::string& name : have)
    if (!std::binary_search(expected.begin(), expected.end(), name))
      data_error(path, "has a folder \"", name, "\", which is no class of the training images");
}

struct Seen {
  ImageSize size;
  std::string digest;
};

/// Size and digest of every file, which is read once.
std::vector<Seen> look_at(const std::vector<std::string>& files) {
  std::vector<Seen> seen(files.size());
  parallel_for(static_cast<std::int64_t>(files.size()), [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const std::string bytes = read_data_file(files[at]);
    Digest digest;
    digest.add(bytes);
    seen[at] = {image_size(files[at], bytes), digest.hex()};
  });
  return seen;
}

void check_sizes(const ImageFolder& folder, const std::vector<Seen>& seen) {
  const ImageSize first = seen.front().size;
  for (std::size_t i = 0; i < seen.size(); ++i)
    if (seen[i].size != first)
      data_error(folder.files[i], "is ", seen[i].size.height, "x", seen[i].size.width, ", ",
                 folder.files[0], " ", first.height, "x", first.width,
                 "; expected one size, or a size to bring all to");
}

std::string digest_of(const ImageFolder& folder, const std::vector<Seen>& seen) {
  Digest digest;
  digest.add(detail::concat(folder.images.size.height, " ", folder.images.size.width, " ",
                            folder.images.channels, "\n"));
  for (std::size_t i = 0; i < seen.size(); ++i)
    digest.add(detail::concat(folder.classes[static_cast<std::size_t>(folder.labels[i])], "/",
                              fs::path(folder.files[i]).filename().string(), " ", seen[i].digest,
                              "\n"));
  return digest.hex();
}

}  // namespace

ImageFolder list_image_folder(const std::string& path, const FolderImages& images,
                              const std::vector<std::string>& classes) {
  LIMBECK_CHECK(images.channels == 1 || images.channels == 3, "list_image_folder: channels is ",
                images.channels, "; expected 1 or 3");
  if (!fs::is_directory(path)) data_error(path, "no such folder");
  ImageFolder folder;
  folder.images = images;
  for (const fs::path& entry : entries(path)) list_class(entry, folder);
  if (folder.classes.empty()) data_error(path, "is empty; expected folders, one per class");
  if (!classes.empty()) check_classes(path, folder.classes, classes);
  const std::vector<Seen> seen = look_at(folder.files);
  folder.resizes = images.size != ImageSize{};
  if (!folder.resizes) {
    check_sizes(folder, seen);
    folder.images.size = seen.front().size;
  }
  folder.digest = digest_of(folder, seen);
  return folder;
}

void ImageFolder::load(std::int32_t i, std::uint8_t* pixels) const {
  const std::string& file = files[static_cast<std::size_t>(i)];
  Image image = decode_image(file, read_data_file(file));
  if (resizes) image = resized(image, images.size);
  if (image.height != images.size.height || image.width != images.size.width)
    data_error(file, "is now ", image.height, "x", image.width, "; it was ", images.size.height,
               "x", images.size.width);
  const std::vector<std::uint8_t> bytes = images.channels == 1 ? to_grey(image) : image.pixels;
  std::copy(bytes.begin(), bytes.end(), pixels);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/dataset.h>

#include <filesystem>

#include <limbeck/tools/cifar.h>
#include <limbeck/tools/data_file.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/idx.h>
#include <limbeck/tools/image_stream.h>
#include <limbeck/tools/npy_dataset.h>
#include <limbeck/tools/synthetic_digits.h>

namespace limbeck {
namespace {

constexpr int kDigits = 10;

/// folder/name or folder/name.gz, whichever is there.
std::string find_file(const std::string& folder, const std::string& name) {
  const auto path = std::filesystem::path(folder) / name;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return path.string();
  std::string packed = path.string() + ".gz";
  if (std::filesystem::exists(packed, ignored)) return packed;
  data_error(path.string(), "no such file, with or without .gz");
}

/// `prefix` is "train" or "t10k", as in the official names.
Dataset load_mnist(const std::string& folder, const std::string& prefix) {
  const std::string image_path = find_file(folder, prefix + "-images-idx3-ubyte");
  const std::string label_path = find_file(folder, prefix + "-labels-idx1-ubyte");
  Tensor images = read_idx_images(image_path);
  Tensor labels = read_idx_labels(label_path, kDigits);
  if (images.dim(0) != labels.dim(0))
    data_error(label_path, labels.dim(0), " labels for the ", images.dim(0), " images of ",
               image_path);
  return make_dataset("mnist/" + prefix, std::move(images), std::move(labels), kDigits);
}

Dataset draw(const std::string& part, std::int64_t samples, std::uint32_t first,
             std::uint64_t seed) {
  Tensor images = Tensor::empty({samples, 28, 28, 1}, DType::u8);
  Tensor labels = Tensor::empty({samples}, DType::i32);
  draw_synthetic_digits(images, labels, seed, first);
  return make_dataset("synthetic-digits/" + part, std::move(images), std::move(labels), kDigits);
}

TrainTest draw_both(const SyntheticOptions& options) {
  constexpr std::int64_t kFirstTest = std::int64_t{1} << 31;  // samples of test follow all of train
  for (const std::int64_t n : {options.train_samples, options.test_samples})
    LIMBECK_CHECK(n >= 1 && n <= kFirstTest, "synthetic-digits: ", n, " samples; expected 1 to ",
                  kFirstTest);
  return {draw("train", options.train_samples, 0, options.seed),
          draw("test", options.test_samples, static_cast<std::uint32_t>(kFirstTest), options.seed)};
}

TrainTest load_cifar(const std::string& folder, int classes) {
  const std::string name = detail::concat("cifar", classes);
  std::vector<std::string> train;
  if (classes == 10)
    for (int i = 1; i <= 5; ++i)
      train.push_back(data_path(folder, detail::concat("data_batch_", i, ".bin")));
  else
    train.push_back(data_path(folder, "train.bin"));
  const auto load = [&](const std::vector<std::string>& files, const std::string& part) {
    LabelledImages data = read_cifar(files, classes);
    return make_dataset(name + part, std::move(data.images), std::move(data.labels), classes);
  };
  const std::string test = data_path(folder, classes == 10 ? "test_batch.bin" : "test.bin");
  return {load(train, "/train"), load({test}, "/test")};
}

Dataset dataset_of(ImageFolder folder, const std::string& part) {
  Dataset data;
  const auto samples = static_cast<std::int64_t>(folder.labels.size());
  data.labels = Tensor::from(folder.labels, {samples});
  data.classes = static_cast<int>(folder.classes.size());
  data.name = "folder/" + part;
  data.digest = folder.digest;
  data.files = std::make_shared<const ImageFolder>(std::move(folder));
  return data;
}

/// Test images have the classes of the training images, and their size.
TrainTest load_image_folder(const std::string& path, const FolderImages& images) {
  const auto part = [&](const char* name) { return (std::filesystem::path(path) / name).string(); };
  ImageFolder train = list_image_folder(part("train"), images);
  ImageFolder test = list_image_folder(part("test"), images, train.classes);
  const ImageSize a = train.images.size, b = test.images.size;
  if (a != b)
    data_error(part("test"), "has images of ", b.height, "x", b.width, ", train of ", a.height, "x",
               a.width, "; expected one size, or a size to bring all to");
  return {dataset_of(std::move(train), "train"), dataset_of(std::move(test), "test")};
}

using FolderLoader = TrainTest (*)(const std::string& folder, const FolderImages& images);

FolderLoader loader_of(const std::string& format) {
  const std::pair<const char*, FolderLoader> formats[] = {
      {"idx",
       [](const std::string& folder, const FolderImages&) {
         return TrainTest{load_mnist(folder, "train"), load_mnist(folder, "t10k")};
       }},
      {"cifar10",
       [](const std::string& folder, const FolderImages&) { return load_cifar(folder, 10); }},
      {"cifar100",
       [](const std::string& folder, const FolderImages&) { return load_cifar(folder, 100); }},
      {"npy",
       [](const std::string& folder, const FolderImages&) { return load_npy_folder(folder); }},
      {"folder", load_image_folder}};
  for (const auto& [name, loader] : formats)
    if (format == name) return loader;
  throw std::invalid_argument("load_dataset: format is \"" + format +
                              "\"; expected idx, cifar10, cifar100, npy or folder");
}

}  // namespace

Dataset make_dataset(std::string name, Tensor images, Tensor labels, int classes) {
  Digest digest;
  digest.add(images);
  digest.add(labels);
  return {std::move(images), std::move(labels), classes, std::move(name), digest.hex()};
}

Shape Dataset::image_shape() const {
  if (files) return {files->images.size.height, files->images.size.width, files->images.channels};
  return {images.dim(1), images.dim(2), images.dim(3)};
}

Dataset Dataset::on(Device device) const {
  Dataset moved = *this;
  if (images.defined()) moved.images = images.to(device);
  moved.labels = labels.to(device);
  return moved;
}

std::unique_ptr<BatchSource> Dataset::source(Device device, const Preprocess& input,
                                             const Augment& augment, std::uint64_t seed) const {
  if (files) return std::make_unique<ImageStream>(files, device, input, augment, seed);
  return std::make_unique<TensorSource>(images, labels, classes, input, augment, seed);
}

TrainTest load_dataset(const std::string& source, const SyntheticOptions& synthetic,
                       const FolderOptions& options) {
  const FolderLoader load = loader_of(options.format);
  if (source == "synthetic-digits") return draw_both(synthetic);
  if (!std::filesystem::is_directory(source))
    data_error(source, "not a folder, and not a built-in data set (synthetic-digits)");
  return load(source, options.images);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/npy_dataset.h>

#include <algorithm>
#include <vector>

#include <limbeck/tools/data_file.h>
#include <limbeck/tools/npy.h>

namespace limbeck {
namespace {

constexpr std::int64_t kMaxClasses = std::int64_t{1} << 24;

Tensor read_images(const std::string& path) {
  Tensor images = read_npy(path);
  const Shape& s = images.shape();
  if ((s.rank() != 3 && s.rank() != 4) || s.numel() == 0)
    data_error(path, "has shape ", s, "; expected images (N,H,W) or (N,H,W,C), at least one");
  if (s.rank() == 3) images = images.reshape({s[0], s[1], s[2], 1});
  const DType dtype = images.dtype();
  if (dtype == DType::i32 || dtype == DType::i64)
    data_error(path, "holds ", dtype, "; expected u8 or floating-point images");
  return dtype == DType::u8 ? images : images.to(DType::f32);
}

template <class T>
std::vector<std::int64_t> widened(const Tensor& values) {
  const std::vector<T> list = values.to_vector<T>();
  return {list.begin(), list.end()};
}

std::vector<std::int64_t> read_integers(const std::string& path) {
  const Tensor values = read_npy(path);
  if (values.rank() != 1) data_error(path, "has shape ", values.shape(), "; expected labels (N)");
  switch (values.dtype()) {
    case DType::u8:
      return widened<std::uint8_t>(values);
    case DType::i32:
      return widened<std::int32_t>(values);
    case DType::i64:
      return widened<std::int64_t>(values);
    default:
      data_error(path, "holds ", values.dtype(), "; expected integer labels");
  }
}

/// Labels in [0, classes), as i32.
Tensor to_labels(const std::vector<std::int64_t>& list, std::int64_t classes,
                 const std::string& path) {
  Tensor labels = Tensor::empty({static_cast<std::int64_t>(list.size())}, DType::i32);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] < 0 || list[i] >= classes)
      data_error(path, "label ", i, " is ", list[i], "; expected 0 to ", classes - 1);
    labels.data<std::int32_t>()[i] = static_cast<std::int32_t>(list[i]);
  }
  return labels;
}

/// One more than the greatest label; every class below has a sample.
std::int64_t count_classes(const std::vector<std::int64_t>& labels, const std::string& path) {
  const std::int64_t last = labels.empty() ? -1 : *std::max_element(labels.begin(), labels.end());
  if (last < 0 || last >= kMaxClasses)
    data_error(path, "the greatest label is ", last, "; expected 0 to ", kMaxClasses - 1);
  std::vector<bool> seen(static_cast<std::size_t>(last + 1));
  for (const std::int64_t label : labels)
    if (label >= 0) seen[static_cast<std::size_t>(label)] = true;
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end())
    data_error(path, "no sample of class ", missing - seen.begin(), "; expected each of 0 to ",
               last);
  return last + 1;
}

Dataset load_part(const std::string& folder, const std::string& part, std::int64_t& classes) {
  const std::string image_path = data_path(folder, part + "_images.npy");
  const std::string label_path = data_path(folder, part + "_labels.npy");
  Tensor images = read_images(image_path);
  const std::vector<std::int64_t> labels = read_integers(label_path);
  if (images.dim(0) != static_cast<std::int64_t>(labels.size()))
    data_error(label_path, labels.size(), " labels for the ", images.dim(0), " images of ",
               image_path);
  if (classes == 0) classes = count_classes(labels, label_path);
  return make_dataset("npy/" + part, std::move(images), to_labels(labels, classes, label_path),
                      static_cast<int>(classes));
}

}  // namespace

TrainTest load_npy_folder(const std::string& folder) {
  std::int64_t classes = 0;
  TrainTest data;
  data.train = load_part(folder, "train", classes);
  data.test = load_part(folder, "test", classes);
  const auto differs = [&](int i) { return data.train.images.dim(i) != data.test.images.dim(i); };
  if (differs(1) || differs(2) || differs(3) ||
      data.train.images.dtype() != data.test.images.dtype())
    data_error(data_path(folder, "test_images.npy"), "holds ", data.test.images.dtype(),
               data.test.images.shape(), ", train_images.npy ", data.train.images.dtype(),
               data.train.images.shape(), "; expected images of one shape and dtype");
  return data;
}

}  // namespace limbeck

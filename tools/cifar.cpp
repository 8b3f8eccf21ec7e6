// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/cifar.h>

#include <limbeck/core/parallel.h>
#include <limbeck/tools/data_file.h>

namespace limbeck {
namespace {

constexpr std::int64_t kSide = 32, kPlane = kSide * kSide, kChannels = 3;

/// Planes (C,H,W) to pixels (H,W,C).
void interleave(std::uint8_t* pixels, const std::uint8_t* planes) {
  for (std::int64_t i = 0; i < kPlane; ++i)
    for (std::int64_t c = 0; c < kChannels; ++c) pixels[i * kChannels + c] = planes[c * kPlane + i];
}

/// Records of one file.
struct Records {
  std::string bytes;
  std::int64_t size, count;
  const std::uint8_t* at(std::int64_t i) const {
    return reinterpret_cast<const std::uint8_t*>(bytes.data()) + i * size;
  }
};

Records read_records(const std::string& path, std::int64_t size) {
  Records records{read_data_file(path), size, 0};
  const auto have = static_cast<std::int64_t>(records.bytes.size());
  if (have % size != 0)
    data_error(path, have, " bytes; expected a multiple of ", size, ", the size of a record");
  records.count = have / size;
  return records;
}

}  // namespace

LabelledImages read_cifar(const std::vector<std::string>& files, int classes) {
  LIMBECK_CHECK(classes == 10 || classes == 100, "read_cifar: classes is ", classes,
                "; expected 10 or 100");
  const std::int64_t label_bytes = classes == 100 ? 2 : 1;
  std::vector<Records> parts;
  std::int64_t count = 0;
  for (const std::string& file : files) {
    parts.push_back(read_records(file, label_bytes + kChannels * kPlane));
    count += parts.back().count;
  }
  LabelledImages all = {Tensor::empty({count, kSide, kSide, kChannels}, DType::u8),
                        Tensor::empty({count}, DType::i32)};
  std::uint8_t* pixels = all.images.data<std::uint8_t>();
  std::int32_t* labels = all.labels.data<std::int32_t>();
  for (std::size_t f = 0; f < files.size(); ++f) {
    const Records& records = parts[f];
    parallel_ranges(records.count, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::uint8_t* record = records.at(i);
        labels[i] = record[label_bytes - 1];
        interleave(pixels + i * kPlane * kChannels, record + label_bytes);
      }
    });
    for (std::int64_t i = 0; i < records.count; ++i)
      if (labels[i] >= classes)
        data_error(files[f], "label ", i, " is ", labels[i], "; expected 0 to ", classes - 1);
    pixels += records.count * kPlane * kChannels;
    labels += records.count;
  }
  return all;
}

}  // namespace limbeck

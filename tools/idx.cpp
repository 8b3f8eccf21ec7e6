// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/idx.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>

#include <limbeck/tools/data_file.h>

namespace limbeck {
namespace {

bool is_gzip(const std::string& bytes) { return bytes.starts_with("\x1f\x8b"); }

/// The one gzip member that `packed` must consist of. zlib's own gzread is not used because it
/// ignores bytes after the end.
std::string gunzip(const std::string& path, const std::string& packed) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) throw std::bad_alloc();
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&z, inflateEnd);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());

  std::string bytes;
  std::array<char, 1 << 16> chunk;
  int status = Z_OK;
  while (status == Z_OK) {
    z.next_out = reinterpret_cast<Bytef*>(chunk.data());
    z.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&z, Z_NO_FLUSH);
    bytes.append(chunk.data(), chunk.size() - z.avail_out);
  }
  if (status == Z_BUF_ERROR) data_error(path, "truncated gzip, the stream does not end");
  if (status != Z_STREAM_END) data_error(path, "corrupt gzip (", z.msg ? z.msg : "bad data", ")");
  if (z.avail_in > 0) data_error(path, z.avail_in, " bytes after the end of the gzip stream");
  return bytes;
}

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = at; i < at + 4; ++i)
    value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

/// The elements of an unsigned-byte idx file with `rank` extents, and those extents.
struct Idx {
  Shape shape;
  std::string bytes;
  std::size_t header;
  const std::uint8_t* data() const {
    return reinterpret_cast<const std::uint8_t*>(bytes.data()) + header;
  }
};

Idx read_idx(const std::string& path, int rank) {
  std::string bytes = read_data_file(path);
  if (is_gzip(bytes)) bytes = gunzip(path, bytes);
  const std::size_t header = 4 + 4 * static_cast<std::size_t>(rank);
  if (bytes.size() < header)
    data_error(path, "truncated: ", bytes.size(), " bytes; expected a header of ", header);
  const std::uint32_t magic = big_endian(bytes, 0), wanted = 0x800u + static_cast<unsigned>(rank);
  if (magic != wanted) data_error(path, "magic number is ", magic, "; expected ", wanted);

  std::array<std::int64_t, 3> dims{};
  std::uint64_t need = 1;
  bool too_large = false;
  for (int i = 0; i < rank; ++i) {
    const std::uint32_t extent = big_endian(bytes, 4 + 4 * static_cast<std::size_t>(i));
    if (extent == 0) data_error(path, "extent ", i, " is 0; expected at least 1");
    dims[static_cast<std::size_t>(i)] = extent;
    too_large = too_large || __builtin_mul_overflow(need, extent, &need);
  }
  const std::uint64_t have = bytes.size() - header;
  if (too_large || have < need)
    data_error(path, "truncated: the header promises ",
               too_large ? "over 2^64" : std::to_string(need), " bytes, ", have, " follow");
  if (have > need) data_error(path, have - need, " bytes after the end of the data");
  return {Shape({dims.data(), static_cast<std::size_t>(rank)}), std::move(bytes), header};
}

}  // namespace

Tensor read_idx_images(const std::string& path) {
  const Idx idx = read_idx(path, 3);
  Tensor images = Tensor::empty({idx.shape[0], idx.shape[1], idx.shape[2], 1}, DType::u8);
  std::copy_n(idx.data(), images.nbytes(), images.data<std::uint8_t>());
  return images;
}

Tensor read_idx_labels(const std::string& path, int classes) {
  const Idx idx = read_idx(path, 1);
  Tensor labels = Tensor::empty(idx.shape, DType::i32);
  for (std::int64_t i = 0; i < labels.numel(); ++i) {
    const int label = idx.data()[i];
    if (label >= classes)
      data_error(path, "label ", i, " is ", label, "; expected 0 to ", classes - 1);
    labels.data<std::int32_t>()[i] = label;
  }
  return labels;
}

}  // namespace limbeck

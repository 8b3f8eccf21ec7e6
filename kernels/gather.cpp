// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gather.h>

#include <algorithm>
#include <cstring>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {
namespace {

void check(const char* op, const Tensor& y, const Tensor& data, const Tensor& index) {
  LIMBECK_CHECK(y.defined() && data.defined() && index.defined(), op,
                ": y, data or index is undefined");
  LIMBECK_CHECK(y.device() == data.device() && index.device() == data.device(), op, ": y is on ",
                y.device(), ", data on ", data.device(), ", index on ", index.device(),
                "; expected one device");
  LIMBECK_CHECK(index.dtype() == DType::i32 && index.rank() == 1, op, ": index is ", index.dtype(),
                index.shape(), "; expected i32(B)");
  LIMBECK_CHECK(data.rank() >= 1, op, ": data has rank 0; expected (N,...)");
  const bool same_rows =
      y.rank() == data.rank() && y.dim(0) == index.dim(0) &&
      std::equal(y.shape().begin() + 1, y.shape().end(), data.shape().begin() + 1);
  LIMBECK_CHECK(same_rows, op, ": y has shape ", y.shape(), ", data ", data.shape(), ", index ",
                index.shape(), "; expected y (B,...), data (N,...), index (B)");
}

}  // namespace

void gather_rows(Tensor& y, const Tensor& data, const Tensor& index) {
  check("gather_rows", y, data, index);
  LIMBECK_CHECK(y.dtype() == data.dtype(), "gather_rows: y is ", y.dtype(), ", data ", data.dtype(),
                "; expected equal dtypes");
  LIMBECK_DISPATCH(y.device(), gather_rows(y, data, index));
}

void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options) {
  check("gather_images", y, data, index);
  LIMBECK_CHECK(data.rank() == 4, "gather_images: data has shape ", data.shape(),
                "; expected (N,H,W,C)");
  LIMBECK_CHECK(y.dtype() == DType::f32, "gather_images: y is ", y.dtype(), "; expected f32");
  LIMBECK_CHECK(data.dtype() == DType::u8 || data.dtype() == DType::f32, "gather_images: data is ",
                data.dtype(), "; expected u8 or f32");
  LIMBECK_CHECK(0 <= options.max_jitter && options.max_jitter <= 1024,
                "gather_images: max_jitter is ", options.max_jitter, "; expected 0 to 1024");
  LIMBECK_CHECK(options.first_sample >= 0, "gather_images: first_sample is ", options.first_sample,
                "; expected >= 0");
  LIMBECK_DISPATCH(y.device(), gather_images(y, data, index, options));
}

namespace cpu {
namespace {

void check_range(const char* op, const Tensor& index, std::int64_t n) {
  const std::int32_t* p = index.data<std::int32_t>();
  for (std::int64_t b = 0; b < index.numel(); ++b)
    LIMBECK_CHECK(0 <= p[b] && p[b] < n, op, ": index ", p[b], " at position ", b,
                  "; expected 0 <= index < ", n);
}

// Rows per task: about 64 Ki elements.
std::int64_t row_grain(std::int64_t row_elements) {
  return std::max<std::int64_t>(1, 65536 / std::max<std::int64_t>(1, row_elements));
}

struct Image {
  std::int64_t height, row;  // row = W * C elements
};

// One image moved by (dy, dx_elements): the part that stays inside is scaled, the rest is `shift`.
template <class T>
[[gnu::always_inline]] inline void move_image(float* y, const T* x, Image image, std::int64_t dy,
                                              std::int64_t dx, float scale, float shift) {
  const std::int64_t begin = std::clamp<std::int64_t>(dx, 0, image.row);
  const std::int64_t end = std::clamp<std::int64_t>(image.row + dx, 0, image.row);
  for (std::int64_t h = 0; h < image.height; ++h, y += image.row) {
    const bool inside = 0 <= h - dy && h - dy < image.height;
    const std::int64_t from = inside ? begin : image.row, to = inside ? end : image.row;
    const std::int64_t source = (h - dy) * image.row - dx;
    for (std::int64_t j = 0; j < from; ++j) y[j] = shift;
#pragma omp simd
    for (std::int64_t j = from; j < to; ++j)
      y[j] = scale * static_cast<float>(x[source + j]) + shift;
    for (std::int64_t j = to; j < image.row; ++j) y[j] = shift;
  }
}

template <class T>
void gather_images_of(Tensor& y, const Tensor& data, const Tensor& index,
                      const GatherImagesOptions& o) {
  const std::int64_t channels = data.dim(3);
  const Image image = {data.dim(1), data.dim(2) * channels};
  const std::int64_t size = image.height * image.row;
  const float scale = static_cast<float>(o.scale), shift = static_cast<float>(o.shift);
  const std::int32_t* row = index.data<std::int32_t>();
  const T* source = data.data<T>();
  float* target = y.data<float>();
  parallel_ranges(index.numel(), row_grain(size), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const auto word = 2 * static_cast<std::uint64_t>(o.first_sample + b);
      const std::int64_t dy = gather_offset(o.stream, word, o.max_jitter);
      const std::int64_t dx = gather_offset(o.stream, word + 1, o.max_jitter);
      simd([&](auto) {
        move_image(target + b * size, source + row[b] * size, image, dy, dx * channels, scale,
                   shift);
      });
    }
  });
}

}  // namespace

void gather_rows(Tensor& y, const Tensor& data, const Tensor& index) {
  check_range("gather_rows", index, data.dim(0));
  if (y.numel() == 0) return;
  const std::size_t bytes = data.nbytes() / static_cast<std::size_t>(data.dim(0));
  const std::int32_t* row = index.data<std::int32_t>();
  char* target = static_cast<char*>(y.raw());
  const char* source = static_cast<const char*>(data.raw());
  parallel_ranges(index.numel(), row_grain(y.numel() / y.dim(0)),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t b = begin; b < end; ++b)
                      std::memcpy(target + static_cast<std::size_t>(b) * bytes,
                                  source + static_cast<std::size_t>(row[b]) * bytes, bytes);
                  });
}

void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options) {
  check_range("gather_images", index, data.dim(0));
  if (data.dtype() == DType::u8)
    gather_images_of<std::uint8_t>(y, data, index, options);
  else
    gather_images_of<float>(y, data, index, options);
}

}  // namespace cpu

}  // namespace limbeck

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

void check_variation(const ImageVariation& vary) {
  LIMBECK_CHECK(0 <= vary.max_jitter && vary.max_jitter <= 1024, "gather_images: max_jitter is ",
                vary.max_jitter, "; expected 0 to 1024");
  LIMBECK_CHECK(0 <= vary.brightness && vary.brightness <= 1, "gather_images: brightness is ",
                vary.brightness, "; expected 0 to 1");
  LIMBECK_CHECK(0 <= vary.contrast && vary.contrast <= 1, "gather_images: contrast is ",
                vary.contrast, "; expected 0 to 1");
}

void check_normalize(const GatherImagesOptions& options, std::int64_t channels) {
  const auto mean = static_cast<std::int64_t>(options.mean.size());
  const auto std = static_cast<std::int64_t>(options.std.size());
  LIMBECK_CHECK(mean == std && (mean == 0 || (mean == channels && channels <= kMaxNormalized)),
                "gather_images: mean has ", mean, " numbers, std ", std, ", the images ", channels,
                " channels; expected one each for at most ", kMaxNormalized, " channels, or none");
  for (const double s : options.std)
    LIMBECK_CHECK(s > 0, "gather_images: a std is ", s, "; expected > 0");
}

}  // namespace

ChannelScale channel_scale(const GatherImagesOptions& options) {
  ChannelScale by{};
  by.each = !options.mean.empty();
  by.scale[0] = static_cast<float>(options.scale);
  by.shift[0] = static_cast<float>(options.shift);
  for (std::size_t c = 0; c < options.mean.size(); ++c) {
    by.scale[c] = static_cast<float>(options.scale / options.std[c]);
    by.shift[c] = static_cast<float>((options.shift - options.mean[c]) / options.std[c]);
  }
  return by;
}

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
  check_variation(options.vary);
  LIMBECK_CHECK(options.first_sample >= 0, "gather_images: first_sample is ", options.first_sample,
                "; expected >= 0");
  check_normalize(options, data.dim(3));
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

// Asks for memory that is read soon.
template <class T>
void prefetch(const T* x, std::int64_t n) {
  const char* p = reinterpret_cast<const char*>(x);
  for (std::int64_t i = 0; i < n * static_cast<std::int64_t>(sizeof(T)); i += 64)
    __builtin_prefetch(p + i);
}

struct Image {
  int height, width, channels;
  std::int64_t row() const { return std::int64_t{width} * channels; }
  std::int64_t size() const { return height * row(); }
};

// What every row of a batch's images is multiplied with and what is added to it; rows() of f32.
struct Scale {
  const float* scale;
  const float* shift;
  bool each;  // by channel; else scale[0] and shift[0] are everyone's
};

template <class T>
[[gnu::always_inline]] inline void scale_image(float* y, const T* x, const Image& image, Scale by) {
  if (!by.each) {
    const float scale = by.scale[0], shift = by.shift[0];
#pragma omp simd
    for (std::int64_t i = 0; i < image.size(); ++i) y[i] = scale * static_cast<float>(x[i]) + shift;
    return;
  }
  const std::int64_t row = image.row();
  for (std::int64_t i = 0; i < image.size(); i += row) {
#pragma omp simd
    for (std::int64_t j = 0; j < row; ++j)
      y[i + j] = by.scale[j] * static_cast<float>(x[i + j]) + by.shift[j];
  }
}

// moved = an image moved by (dy, dx), of which the part that stays inside is seen, and 0 around it.
template <class T>
void move_image(T* moved, const T* x, const Image& image, const ImageView& view) {
  const std::int64_t row = image.row(), dx = std::int64_t{view.dx} * image.channels;
  const std::int64_t begin = std::clamp<std::int64_t>(dx, 0, row);
  const std::int64_t end = std::clamp<std::int64_t>(row + dx, begin, row);
  std::fill(moved, moved + image.size(), T(0));
  for (int h = std::max(view.dy, 0); h < std::min(image.height, image.height + view.dy); ++h)
    std::copy(x + (h - view.dy) * row + begin - dx, x + (h - view.dy) * row + end - dx,
              moved + h * row + begin);
}

// Any view of an image. places: (row) scratch, the source of each element of a row.
template <class T>
[[gnu::always_inline]] inline void view_image(float* y, const T* x, const Image& image,
                                              const ImageView& view, bool reflect, Scale by,
                                              std::int32_t* places) {
  const std::int64_t row = image.row();
  for (int w = 0; w < image.width; ++w) {
    const int seen = (view.flip ? image.width - 1 - w : w) - view.dx;
    const int place = padded_place(seen, image.width, reflect);
    for (int c = 0; c < image.channels; ++c)
      places[w * image.channels + c] = place < 0 ? -1 : place * image.channels + c;
  }
  for (int h = 0; h < image.height; ++h, y += row) {
    const int line = padded_place(h - view.dy, image.height, reflect);
    const T* source = x + std::max(line, 0) * row;
    for (std::int64_t j = 0; j < row; ++j) {
      const bool inside = line >= 0 && places[j] >= 0;
      const float pixel = static_cast<float>(source[inside ? places[j] : 0]);
      y[j] = by.scale[j] * (inside ? recoloured(view, pixel) : 0.0f) + by.shift[j];
    }
  }
}

// scale and shift of each element of a row: (2, row).
Tensor scale_rows(const Image& image, const ChannelScale& by) {
  Tensor rows = Tensor::empty({2, image.row()});
  float* p = rows.data<float>();
  for (std::int64_t j = 0; j < image.row(); ++j) {
    const std::int64_t c = by.each ? j % image.channels : 0;
    p[j] = by.scale[c];
    p[image.row() + j] = by.shift[c];
  }
  return rows;
}

template <class T>
void gather_images_of(Tensor& y, const Tensor& data, const Tensor& index,
                      const GatherImagesOptions& o) {
  const Image image = {static_cast<int>(data.dim(1)), static_cast<int>(data.dim(2)),
                       static_cast<int>(data.dim(3))};
  const ChannelScale channels = channel_scale(o);
  const Tensor rows = scale_rows(image, channels);
  const Scale by = {rows.data<float>(), rows.data<float>() + image.row(), channels.each};
  const std::int32_t* row = index.data<std::int32_t>();
  const T* source = data.data<T>();
  float* target = y.data<float>();
  const RngStream stream = o.stream.resolved();
  const std::int64_t size = image.size();
  parallel_ranges(index.numel(), row_grain(size), [&](std::int64_t begin, std::int64_t end) {
    Tensor places, moved;
    for (std::int64_t b = begin; b < end; ++b) {
      const ImageView view =
          image_view(o.vary, stream, static_cast<std::uint64_t>(o.first_sample + b));
      if (b + 1 < end) prefetch(source + row[b + 1] * size, size);
      const T* x = source + row[b] * size;
      const bool plain = !view.flip && !view.recolour && !o.vary.reflect;
      if (plain && (view.dy != 0 || view.dx != 0)) {
        if (!moved.defined()) moved = Tensor::empty({size}, dtype_of<T>());
        move_image(moved.data<T>(), x, image, view);
        x = moved.data<T>();
      }
      if (!plain && !places.defined()) places = Tensor::empty({image.row()}, DType::i32);
      std::int32_t* scratch = plain ? nullptr : places.data<std::int32_t>();
      simd([&](auto) {
        if (plain)
          scale_image(target + b * size, x, image, by);
        else
          view_image(target + b * size, x, image, view, o.vary.reflect, by, scratch);
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
  if (y.numel() == 0) return;
  if (data.dtype() == DType::u8)
    gather_images_of<std::uint8_t>(y, data, index, options);
  else
    gather_images_of<float>(y, data, index, options);
}

}  // namespace cpu

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gather.h>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

struct Rows {
  const std::int32_t* index;  // (B)
  std::int64_t count;         // N
  std::int64_t size;          // units per row
  std::int64_t total;         // B * size
};

LIMBECK_DEVICE gpu::Pack16 load(const gpu::Pack16* p) { return gpu::load16(p); }
LIMBECK_DEVICE void store(gpu::Pack16* p, const gpu::Pack16& v) { gpu::store16(p, v); }
template <class U>
LIMBECK_DEVICE U load(const U* p) {
  return *p;
}
template <class U>
LIMBECK_DEVICE void store(U* p, const U& v) {
  *p = v;
}

/// One thread per unit of U.
template <class U>
LIMBECK_KERNEL gather_rows_kernel(U* y, const U* data, Rows rows) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows.total) return;
  const std::int64_t b = i / rows.size, n = rows.index[b];
  const bool inside = 0 <= n && n < rows.count;
  store(y + i, inside ? load(data + (n * rows.size + (i - b * rows.size))) : U{});
}

template <class U>
void launch_rows(Tensor& y, const Tensor& data, const Tensor& index, std::int64_t row_bytes) {
  const std::int64_t size = row_bytes / static_cast<std::int64_t>(sizeof(U));
  const Rows rows{index.data<std::int32_t>(), data.dim(0), size, index.numel() * size};
  gpu::launch({"gather_rows", gpu::blocks_for(rows.total, 256), 256}, gather_rows_kernel<U>,
              static_cast<U*>(y.raw()), static_cast<const U*>(data.raw()), rows);
}

struct Images {
  const std::int32_t* index;  // (B)
  std::int64_t count;         // N
  int height, width, channels;
  std::int64_t total;  // B * H * W * C
  ChannelScale by;
  ImageVariation vary;
  RngStream stream;
  std::int64_t first_sample;
};

/// One thread per element of y.
template <class T>
LIMBECK_KERNEL gather_images_kernel(float* y, const T* data, Images g) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= g.total) return;
  const int row = g.width * g.channels;
  const std::int64_t image = std::int64_t{row} * g.height;
  const std::int64_t b = i / image, n = g.index[b];
  if (n < 0 || n >= g.count) {
    y[i] = 0;
    return;
  }
  const int pixel = static_cast<int>(i - b * image);
  const int h = pixel / row, j = pixel - h * row, w = j / g.channels, c = j - w * g.channels;
  const auto sample = static_cast<std::uint64_t>(g.first_sample + b);
  const ImageView view = image_view(g.vary, g.stream.resolved(), sample);
  const int line = padded_place(h - view.dy, g.height, g.vary.reflect);
  const int seen = (view.flip ? g.width - 1 - w : w) - view.dx;
  const int place = padded_place(seen, g.width, g.vary.reflect);
  float value = 0;
  if (line >= 0 && place >= 0)
    value =
        recoloured(view, static_cast<float>(data[n * image + line * row + place * g.channels + c]));
  const int of = g.by.each ? c : 0;
  y[i] = g.by.scale[of] * value + g.by.shift[of];
}

}  // namespace

void gather_rows(Tensor& y, const Tensor& data, const Tensor& index) {
  if (y.numel() == 0) return;
  const auto row_bytes = static_cast<std::int64_t>(y.nbytes()) / y.dim(0);
  const auto fits = [&](unsigned unit) {
    return row_bytes % unit == 0 &&
           (gpu::misalignment(y.raw()) | gpu::misalignment(data.raw())) % unit == 0;
  };
  if (fits(16))
    launch_rows<gpu::Pack16>(y, data, index, row_bytes);
  else if (fits(4))
    launch_rows<std::uint32_t>(y, data, index, row_bytes);
  else
    launch_rows<std::uint8_t>(y, data, index, row_bytes);
}

void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options) {
  if (y.numel() == 0) return;
  const Images images{.index = index.data<std::int32_t>(),
                      .count = data.dim(0),
                      .height = static_cast<int>(data.dim(1)),
                      .width = static_cast<int>(data.dim(2)),
                      .channels = static_cast<int>(data.dim(3)),
                      .total = y.numel(),
                      .by = channel_scale(options),
                      .vary = options.vary,
                      .stream = options.stream,
                      .first_sample = options.first_sample};
  const unsigned blocks = gpu::blocks_for(images.total, 256);
  if (data.dtype() == DType::u8)
    gpu::launch({"gather_images", blocks, 256}, gather_images_kernel<std::uint8_t>, y.data<float>(),
                data.data<std::uint8_t>(), images);
  else
    gpu::launch({"gather_images", blocks, 256}, gather_images_kernel<float>, y.data<float>(),
                data.data<float>(), images);
}

}  // namespace limbeck::cuda

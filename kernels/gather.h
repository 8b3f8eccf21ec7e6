// SPDX-License-Identifier: Apache-2.0
// Takes a batch out of a data set that lies on the device.
#pragma once

#include <vector>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/image_view.h>

namespace limbeck {

/// y_b = data[index_b]: data (N,...) of any dtype, index (B) i32 in [0,N), y (B,...) of data's
/// dtype. Written. An index out of range throws std::invalid_argument on the CPU; on a GPU its row
/// is 0.
void gather_rows(Tensor& y, const Tensor& data, const Tensor& index);

struct GatherImagesOptions {
  double scale = 1;  ///< y = scale * pixel + shift
  double shift = 0;
  /// Image b is sample first_sample + b of image_view (kernels/image_view.h): moved, flipped and
  /// recoloured before scale and shift; padding is 0 then too.
  ImageVariation vary = {};
  RngStream stream = {};
  std::int64_t first_sample = 0;
  /// One number for each of at most kMaxNormalized channels, or none: y = (scale * pixel + shift -
  /// mean_c) / std_c, as a product and a sum in f32.
  std::vector<double> mean = {}, std = {};
};

/// Channels that can have a mean and a deviation of their own.
inline constexpr int kMaxNormalized = 4;

/// What pixels of channel c are multiplied with, and what is added then.
struct ChannelScale {
  float scale[kMaxNormalized], shift[kMaxNormalized];
  bool each;  ///< by channel; else scale[0] and shift[0] are everyone's
};
ChannelScale channel_scale(const GatherImagesOptions& options);

/// y (B,H,W,C) f32 = images of data (N,H,W,C) u8 or f32 at index (B) i32, varied
/// and scaled. Written; indices as in gather_rows. The same bits on every device.
void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options);

namespace cpu {
void gather_rows(Tensor& y, const Tensor& data, const Tensor& index);
void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options);
}  // namespace cpu
namespace cuda {
void gather_rows(Tensor& y, const Tensor& data, const Tensor& index);
void gather_images(Tensor& y, const Tensor& data, const Tensor& index,
                   const GatherImagesOptions& options);
}  // namespace cuda

}  // namespace limbeck

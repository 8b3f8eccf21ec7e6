// SPDX-License-Identifier: Apache-2.0
// Takes a batch out of a data set that lies on the device.
#pragma once

#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_b = data[index_b]: data (N,...) of any dtype, index (B) i32 in [0,N), y (B,...) of data's
/// dtype. Written. An index out of range throws std::invalid_argument on the CPU; on a GPU its row
/// is 0.
void gather_rows(Tensor& y, const Tensor& data, const Tensor& index);

struct GatherImagesOptions {
  double scale = 1;  ///< y = scale * pixel + shift
  double shift = 0;
  /// Image b is moved by (dy,dx), each uniform in -max_jitter..max_jitter: gather_offset of words
  /// 2i and 2i+1, i = first_sample + b; pixels from outside count as 0 before scale and shift.
  int max_jitter = 0;
  RngStream stream = {};
  std::int64_t first_sample = 0;
};

/// Maps word `word` of the stream to -max_jitter..max_jitter: floor(u (2 max_jitter + 1) / 2^32) -
/// max_jitter.
LIMBECK_HD int gather_offset(const RngStream& stream, std::uint64_t word, int max_jitter) {
  const std::uint64_t choices = 2 * static_cast<std::uint64_t>(max_jitter) + 1;
  return static_cast<int>(philox_word(stream, word) * choices >> 32) - max_jitter;
}

/// y (B,H,W,C) f32 = images of data (N,H,W,C) u8 or f32 at index (B) i32, scaled and jittered.
/// Written; indices as in gather_rows.
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

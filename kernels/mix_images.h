// SPDX-License-Identifier: Apache-2.0
// Training images that are mixtures of two.
#pragma once

#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Where and how much of another image an image gets. mixup (Zhang et al. 2018): the window is the
/// whole image. CutMix (Yun et al. 2019): it is a part of it, and the weight is 0.
struct ImageMixture {
  double weight = 1;  ///< the image's own share inside the window, 0 to 1
  std::int64_t top = 0, left = 0, bottom = 0, right = 0;  ///< the window, up to bottom and right

  /// The image's own share of all of its H x W cells: what its label weighs.
  double label_weight(std::int64_t H, std::int64_t W) const {
    return 1 - (1 - weight) * static_cast<double>((bottom - top) * (right - left)) /
                   static_cast<double>(H * W);
  }
};

/// y_b = weight x_b + (1 - weight) x_p inside the window, p = partners_b, and x_b outside. x and y
/// (B,H,W,C) of one floating dtype, partners (B) i32. Two products and a sum in f32 (f64 for f64):
/// the same bits on every device. Written; y does not overlap x. A partner outside 0..B-1 throws
/// std::invalid_argument on the CPU; on a GPU the image is then its own.
void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& mixture);

/// partners (B) i32 = a random permutation of 0..B-1: the places of the first B words of the stream
/// in ascending order of the words, equal ones by place. Written; the same on every device.
void random_partners(Tensor& partners, const RngStream& stream);

namespace cpu {
void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& mixture);
void random_partners(Tensor& partners, const RngStream& stream);
}  // namespace cpu
namespace cuda {
void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& mixture);
void random_partners(Tensor& partners, const RngStream& stream);
}  // namespace cuda

}  // namespace limbeck

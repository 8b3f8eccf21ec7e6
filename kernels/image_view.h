// SPDX-License-Identifier: Apache-2.0
// How one training image is varied: numbers drawn from its sample's words of a stream.
#pragma once

#include <limbeck/core/host_device.h>
#include <limbeck/core/philox.h>

namespace limbeck {

/// What may be varied, and how far; 0 and false leave it alone.
struct ImageVariation {
  int max_jitter = 0;    ///< moved by up to so many pixels: a crop of the image padded by as many
  bool reflect = false;  ///< the padding mirrors the image, edge pixels once; else it is 0
  bool flip = false;     ///< mirrored left to right, one image in two
  float brightness = 0;  ///< a pixel times 1 - brightness .. 1 + brightness
  float contrast = 0;    ///< its distance from 127.5 times 1 - contrast .. 1 + contrast
};

/// One image's share: pixel (h,w) shows pixel (h - dy, w' - dx), where w' is w or, flipped, W-1-w,
/// as clamp(gain * pixel + offset, 0, 255).
struct ImageView {
  int dy = 0, dx = 0;
  bool flip = false, recolour = false;
  float gain = 1, offset = 0;
};

/// Maps word `word` of the stream to -max_jitter..max_jitter: floor(u (2 max_jitter + 1) / 2^32) -
/// max_jitter.
LIMBECK_HD int gather_offset(const RngStream& stream, std::uint64_t word, int max_jitter) {
  const std::uint64_t choices = 2 * static_cast<std::uint64_t>(max_jitter) + 1;
  return static_cast<int>(philox_word(stream, word) * choices >> 32) - max_jitter;
}

/// 1 - range .. 1 + range, by a word.
LIMBECK_HD float image_factor(float range, std::uint32_t word) {
  return 1.0f + range * (2.0f * uniform_from_word(word) - 1.0f);
}

/// Sample i moves by gather_offset of words 2i (dy) and 2i+1 (dx). In the stream's next layer,
/// block i has its flip (the highest bit of x), brightness b (y) and contrast c (z): gain = b c,
/// offset = 127.5 (1 - c).
LIMBECK_HD ImageView image_view(const ImageVariation& variation, RngStream stream,
                                std::uint64_t sample) {
  ImageView view;
  if (variation.max_jitter > 0) {
    view.dy = gather_offset(stream, 2 * sample, variation.max_jitter);
    view.dx = gather_offset(stream, 2 * sample + 1, variation.max_jitter);
  }
  view.recolour = variation.brightness > 0 || variation.contrast > 0;
  if (!variation.flip && !view.recolour) return view;
  ++stream.layer;
  const Philox4 words = philox_block(stream, static_cast<std::uint32_t>(sample));
  view.flip = variation.flip && words.x >> 31 != 0;
  const float contrast = image_factor(variation.contrast, words.z);
  view.gain = image_factor(variation.brightness, words.y) * contrast;
  view.offset = 127.5f * (1.0f - contrast);
  return view;
}

LIMBECK_HD float recoloured(const ImageView& view, float pixel) {
  if (!view.recolour) return pixel;
  const float moved = view.gain * pixel + view.offset;
  return moved < 0 ? 0.0f : moved > 255 ? 255.0f : moved;
}

/// The place in 0..n-1 that place i of a padded row of n shows, or -1 for padding that is 0.
LIMBECK_HD int padded_place(int i, int n, bool reflect) {
  if (0 <= i && i < n) return i;
  if (!reflect) return -1;
  if (n == 1) return 0;
  const int period = 2 * (n - 1);
  const int place = (i % period + period) % period;
  return place < n ? place : period - place;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Two layers of different models laid over each other.
#pragma once

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// The positions at which two taps are compared: cells of an image, steps of a sequence (width 1),
/// or one.
struct TapGrid {
  std::int64_t height = 1, width = 1;
  std::int64_t positions() const { return height * width; }
  bool operator==(const TapGrid&) const = default;
};

/// Of one sample's taps (C), (T,C) or (H,W,C): images meet on the smaller height and width,
/// sequences of one length at every step, anything else at one position. Throws
/// std::invalid_argument for a tap of another rank.
TapGrid common_grid(const Shape& receiver, const Shape& source);

/// The shape of N samples of a shape, and of one sample of a batch's.
Shape with_batch(const Shape& sample, std::int64_t N);
Shape without_batch(const Shape& batch);

/// Channels of a tap: its last extent.
inline std::int64_t tap_channels(const Shape& tap) { return tap[-1]; }

/// A batch of taps (N, tap) as rows (N positions, C): an image averaged over the grid's cells
/// (kernels/adaptive_avg_pool2d.h), a sequence as it is or, at one position, averaged over its
/// steps. Shares memory where nothing is averaged.
Variable tap_rows(const Variable& tap, const TapGrid& grid);
/// The same without a tape.
Tensor tap_rows(const Tensor& tap, const TapGrid& grid);

/// A batch of taps (N, tap) as one vector per sample, (N, elements of a tap).
Variable tap_vectors(const Variable& tap);

}  // namespace limbeck

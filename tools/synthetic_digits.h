// SPDX-License-Identifier: Apache-2.0
// Built-in data: grey digits drawn from stroke skeletons, so that a first run needs no download.
#pragma once

#include <cstdint>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Writes images (N,28,28,1) u8 and labels (N) i32 on the CPU. Sample i is drawn from the counter
/// RNG at (seed, sample first + i) alone, with no libm: the same bytes for any N, thread count and
/// CPU. Labels are uniform over 0..9. Strokes are sheared, rotated, bent, thinned or thickened,
/// partly hidden and made noisy, so that a small model errs where a large one need not.
void draw_synthetic_digits(Tensor& images, Tensor& labels, std::uint64_t seed,
                           std::uint32_t first = 0);

}  // namespace limbeck

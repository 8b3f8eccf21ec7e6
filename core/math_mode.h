// SPDX-License-Identifier: Apache-2.0
// Which arithmetic matrix products and convolutions use.
#pragma once

namespace limbeck {

/// exact: limbeck's own product; every element is one sequential FMA chain, the same bits for any
/// thread count, tiling, batch split and vector width. fast: oneDNN where it was found at build
/// time; the same bits only for the same run on the same machine and thread count. On a GPU, where
/// cuBLASLt and cuDNN compute either way, exact bars TF32 and fast allows it.
enum class MathMode { exact, fast };

MathMode math_mode();
/// Throws std::invalid_argument for fast in a build without oneDNN.
void set_math_mode(MathMode mode);
bool fast_math_available();

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Internal: which cells of an axis adaptive pooling puts in a bin, on either device.
#pragma once

#include <cstdint>

#include <limbeck/core/host_device.h>

namespace limbeck {

struct AdaptiveBin {
  std::int64_t begin, end;
};

/// Of `bins` that share n cells, bin i has [floor(i n / bins), ceil((i + 1) n / bins)). Neighbours
/// overlap where bins does not divide n. Cell c lies in bins adaptive_bin(c, bins, n): the rule is
/// its own inverse.
LIMBECK_HD AdaptiveBin adaptive_bin(std::int64_t i, std::int64_t n, std::int64_t bins) {
  return {i * n / bins, ((i + 1) * n + bins - 1) / bins};
}

}  // namespace limbeck

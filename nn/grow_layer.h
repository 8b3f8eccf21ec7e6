// SPDX-License-Identifier: Apache-2.0
// Internal: fills one layer of a model that grows (nn/grow.h).
#pragma once

#include <limbeck/nn/grow.h>

namespace limbeck {

/// A layer that both models have, and where it stands.
struct GrownLayer {
  Module& small;
  Module& big;
  UnitMap in;                  ///< of the last axis of what it reads
  std::int64_t small_out = 0;  ///< last extents of what it gives
  std::int64_t big_out = 0;
  std::uint32_t index = 0;  ///< of the noise
};

/// Fills layer.big so that it gives copies of what layer.small gives; returns which. Throws
/// std::invalid_argument that says why it cannot, without the layer's name.
UnitMap grow_layer(const GrownLayer& layer, const GrowOptions& options);

/// Fills a Linear or Conv2d with the identity; false when it cannot be one.
bool make_identity(Module& layer);
/// Fills a Linear, Conv2d or BatchNorm so that it gives 0; false for another layer.
bool make_zero(Module& layer);
/// The same question, changing nothing.
bool can_be_zero(Module& layer);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// A big model that starts where a small one is: Chen, Goodfellow, Shlens (2016), "Net2Net:
// accelerating learning via knowledge transfer".
#pragma once

#include <limbeck/nn/model_graph.h>
#include <limbeck/nn/unit_map.h>

namespace limbeck {

struct GrowOptions {
  std::uint64_t seed = 0;                 ///< of the drawn units and the noise
  UnitCopies copies = UnitCopies::drawn;  ///< which units are copied
  UnitShares shares = UnitShares::equal;  ///< what their readers make of them
  /// Copies whose readers get equal shares have equal gradients, and stay equal unless something
  /// (dropout, this) tells them apart. To the weights of every copy but the first is added a normal
  /// number of this times the root mean square of the small weight; the function is then kept only
  /// about. 0: exactly.
  double noise = 0;
};

/// Fills `big` so that in evaluation it computes what `small` does, whatever was in it. Layers
/// belong together by name. One that both have may be wider in the big model (Net2Wider): unit j of
/// its output copies unit g(j) of the small one's, and what reads it divides its weights among the
/// copies. A layer that only the big model has becomes the identity (Net2Deeper): a Linear or
/// Conv2d of equal width, a relu behind a relu, a dropout, or a residual branch, whose last Linear,
/// Conv2d or BatchNorm (the wiring names it: it is what an extra "add" reads) becomes 0 while the
/// layers before it keep their values. Linear, Conv2d (with one group or depthwise), BatchNorm,
/// embeddings and all layers without parameters that leave channels apart can be wider, LayerNorm
/// and RMSNorm if every unit has equally many copies, anything else must have its width.
///
/// input: the shape of a batch for both, as ModelGraph::output_shape takes it. Any floating dtypes
/// and devices. Sums over copies are rounded on their way, so outputs differ by a few units in the
/// last place; they are the same bits where shares = first and a sum is one chain (MathMode::exact
/// on the CPU: adding 0 changes nothing), and where nothing is wider. Batch-norm copies have equal
/// statistics, so without extra dropout a pass in training agrees as well.
/// Throws std::invalid_argument in one line that names the layer for what cannot be kept; `big` may
/// then be filled in part.
void grow(ModelGraph& small, ModelGraph& big, const Shape& input, const GrowOptions& options = {});

}  // namespace limbeck

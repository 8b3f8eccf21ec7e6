// SPDX-License-Identifier: Apache-2.0
// Linear layers of several models that read one input, side by side.
#pragma once

#include <memory>
#include <span>

#include <limbeck/core/tensor.h>
#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/joined_parts.h>

namespace limbeck {

/// A weight (O,I) once more, in the order in which the CPU's exact product reads it: for one that
/// stays as it is over many calls. Packing costs a batch of 32 about as much as multiplying.
class PackedWeight {
 public:
  struct Content;
  PackedWeight() = default;
  /// Copies w; holds nothing where that would not be read: on a GPU, in MathMode::fast.
  explicit PackedWeight(const Tensor& w);
  bool empty() const { return !content_; }
  const Content* content() const { return content_.get(); }

 private:
  std::shared_ptr<const Content> content_;
};

/// y (N,O) = act(x w^T + bias) and, where defined, pre the value before act, both written; as
/// linear_forward (kernels/matmul.h) with its constraints.
struct LinearPart {
  Tensor y, w, bias;
  Activation act = Activation::none;
  Tensor pre = {};
  PackedWeight packed = {};  ///< of w, or empty
};

/// x (N,I): all parts, in one parallel loop on the CPU. On a GPU one product and one launch that
/// deals its columns out, where there is a stack, no pre, and one activation, none or relu, that
/// all share; otherwise one after the other. In MathMode::exact on the CPU the same bits as apart.
void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x,
                           const WeightStack& stack = {});

namespace cpu {
void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const WeightStack& stack);
}  // namespace cpu
namespace cuda {
void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const WeightStack& stack);
}  // namespace cuda

}  // namespace limbeck

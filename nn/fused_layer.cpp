// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/fused_layer.h>

#include <limbeck/nn/activation.h>
#include <limbeck/nn/batch_norm.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/group_norm.h>
#include <limbeck/nn/linear.h>

namespace limbeck {
namespace {

template <class Layer>
bool is(const Module* layer) {
  return dynamic_cast<const Layer*>(layer) != nullptr;
}

}  // namespace

Activation activation_of(const Module* layer) {
  const auto* activation = dynamic_cast<const ActivationLayer*>(layer);
  return activation ? activation->activation() : Activation::none;
}

bool runs_with(const Module* layer, Activation act) {
  if (act == Activation::none) return false;
  return is<Linear>(layer) ||
         (act == Activation::relu && (is<Conv2d>(layer) || runs_with_sum(layer, act)));
}

bool runs_with_sum(const Module* layer, Activation act) {
  return act == Activation::relu && (is<BatchNorm>(layer) || is<GroupNorm>(layer));
}

Variable forward_fused(Module& layer, const Variable& x, Context& context, Activation act,
                       const Variable& skip, const PackedWeight& packed) {
  if (auto* linear = dynamic_cast<Linear*>(&layer)) return linear->forward_fused(x, act, packed);
  if (auto* norm = dynamic_cast<BatchNorm*>(&layer)) return norm->forward_relu(x, context, skip);
  if (auto* norm = dynamic_cast<GroupNorm*>(&layer)) return norm->forward_relu(x, skip);
  return dynamic_cast<Conv2d&>(layer).forward_relu(x);
}

}  // namespace limbeck

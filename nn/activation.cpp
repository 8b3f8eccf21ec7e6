// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/activation.h>

#include <limbeck/autograd/activation.h>

namespace limbeck {

Variable ActivationLayer::forward(const Variable& x, Context&) {
  return limbeck::activation(x, act_);
}

}  // namespace limbeck

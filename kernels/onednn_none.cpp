// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/onednn.h>

namespace limbeck::onednn {

bool available() { return false; }
bool matmul(Tensor&, const Tensor&, Trans, const Tensor&, Trans, Out) { return false; }
bool linear_forward(Tensor&, const Tensor&, const Tensor&, const Tensor&, bool) { return false; }
bool conv2d_forward(Tensor&, const Tensor&, const Tensor&, const Tensor&, const Conv2dOptions&) {
  return false;
}
bool conv2d_backward_data(Tensor&, const Tensor&, const Tensor&, const Conv2dOptions&) {
  return false;
}
bool conv2d_backward_weight(Tensor&, const Tensor&, const Tensor&, Out, const Conv2dOptions&) {
  return false;
}

}  // namespace limbeck::onednn

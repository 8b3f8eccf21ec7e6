// SPDX-License-Identifier: Apache-2.0
// Rows that are one value but for the place of their label.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_nv = on where v is label n, else off; rows labelled kIgnoreIndex are all off. y (N,V)
/// floating, labels (N) i32. Written. A label outside [0,V) that is not kIgnoreIndex throws
/// std::invalid_argument on the CPU and gives a row of NaN on a GPU.
void one_hot(Tensor& y, const Tensor& labels, double on = 1, double off = 0);

namespace cpu {
void one_hot(Tensor& y, const Tensor& labels, double on, double off);
}  // namespace cpu
namespace cuda {
void one_hot(Tensor& y, const Tensor& labels, double on, double off);
}  // namespace cuda

}  // namespace limbeck

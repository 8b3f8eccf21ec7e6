// SPDX-License-Identifier: Apache-2.0
// Row-wise argmax, and how often two label vectors agree.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

/// index_n (N, i32) = first position of the maximum of row n of x (N,V), any floating dtype; V
/// >= 1. A NaN counts as the maximum (the first one wins). Written.
void argmax_rows(Tensor& index, const Tensor& x);
/// count (one i64) = number of n with a_n = b_n; a, b (N) i32; written.
void count_equal(Tensor& count, const Tensor& a, const Tensor& b);

namespace cpu {
void argmax_rows(Tensor& index, const Tensor& x);
void count_equal(Tensor& count, const Tensor& a, const Tensor& b);
}  // namespace cpu
namespace cuda {
void argmax_rows(Tensor& index, const Tensor& x);
void count_equal(Tensor& count, const Tensor& a, const Tensor& b);
}  // namespace cuda

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Sums whose order is fixed by the index, never by the worker.
#pragma once

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// s (one element, same dtype as x; f32 when x is bf16 or f16) = sum of all of x; written.
void sum(Tensor& s, const Tensor& x);
/// s (C; x's dtype or f32, or 16-bit when x is f32) = sum over rows of x (N,C), written or added.
/// On the CPU each column is one chain over the rows that starts at 0 (write) or s (add), so a sum
/// added over row blocks equals the whole.
void sum_rows(Tensor& s, const Tensor& x, Out out = Out::write);
/// flag (one i32) = 1 when every element of x is finite, else 0; written.
void all_finite(Tensor& flag, const Tensor& x);

namespace cpu {
void sum(Tensor& s, const Tensor& x);
void sum_rows(Tensor& s, const Tensor& x, Out out);
void all_finite(Tensor& flag, const Tensor& x);
}  // namespace cpu
namespace cuda {
void sum(Tensor& s, const Tensor& x);
void sum_rows(Tensor& s, const Tensor& x, Out out);
void all_finite(Tensor& flag, const Tensor& x);
}  // namespace cuda

}  // namespace limbeck

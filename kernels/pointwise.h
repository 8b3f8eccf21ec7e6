// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: one vectorised, parallel loop for all pointwise ops.
#pragma once

#include <cstdint>

#include <limbeck/core/dtype.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {

/// y_i = fn(x_i...) for i < n, computed in float (double for double) and rounded to T; y may be any
/// of the x. fn must be inlinable and free of branches.
template <class T, class Fn, class... Xs>
void map(std::int64_t n, Fn fn, T* y, const Xs*... x) {
  constexpr std::int64_t kPiece = 32768;  // elements per task
  parallel_ranges(n, kPiece, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) y[i] = fn(static_cast<ComputeType<T>>(x[i])...);
    });
  });
}

}  // namespace limbeck::cpu

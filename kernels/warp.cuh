// SPDX-License-Identifier: Apache-2.0
// Internal: reductions over a warp and over a block, in an order fixed by the lanes; every thread
// gets the result.
#pragma once

#include <limbeck/core/gpu.h>

namespace limbeck::gpu {

struct Sum {
  template <class T>
  LIMBECK_DEVICE T operator()(T a, T b) const {
    return a + b;
  }
};

/// NaN when either is NaN, so that all threads agree.
struct Max {
  template <class T>
  LIMBECK_DEVICE T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};

LIMBECK_DEVICE int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
LIMBECK_DEVICE int warp() { return static_cast<int>(threadIdx.x) / kWarp; }

/// Combines each of the kCount values over the warp's 32 lanes.
template <int kCount, class T, class Op>
LIMBECK_DEVICE void warp_reduce(T (&value)[kCount], Op op) {
  LIMBECK_UNROLL
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    LIMBECK_UNROLL
    for (int k = 0; k < kCount; ++k) value[k] = op(value[k], shuffle_xor(value[k], distance));
  }
}

/// Combines each of the kCount values over a block of kThreads threads, all of which must call.
template <int kThreads, int kCount, class T, class Op>
LIMBECK_DEVICE void block_reduce(T (&value)[kCount], Op op) {
  LIMBECK_SHARED(T, partial, [kThreads / kWarp][kCount]);
  warp_reduce(value, op);
  sync_block();  // an earlier call's partials have been read
  if (lane() == 0)
    for (int k = 0; k < kCount; ++k) partial[warp()][k] = value[k];
  sync_block();
  for (int k = 0; k < kCount; ++k) {
    value[k] = partial[0][k];
    for (int w = 1; w < kThreads / kWarp; ++w) value[k] = op(value[k], partial[w][k]);
  }
}

}  // namespace limbeck::gpu

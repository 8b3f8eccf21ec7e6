// SPDX-License-Identifier: Apache-2.0
// Internal: reductions over a warp and over a block, in an order fixed by the lanes; every thread
// gets the result.
#pragma once

#include <cmath>

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

/// The other one when one is NaN; a single instruction.
LIMBECK_DEVICE float number_max(float a, float b) { return ::fmaxf(a, b); }
LIMBECK_DEVICE float number_min(float a, float b) { return ::fminf(a, b); }
struct NumberMax {
  LIMBECK_DEVICE float operator()(float a, float b) const { return number_max(a, b); }
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

/// Combines the kCount values that all threads of a block have, over the blocks of a cluster: a
/// power of two of them, 2 to kMaxCluster. `exchange` is the number of such calls before, equal in
/// all threads: two messages in a row go to different places, so one barrier is enough for each.
template <int kCount, class T, class Op>
LIMBECK_DEVICE void cluster_reduce(T (&value)[kCount], Op op, unsigned exchange) {
  LIMBECK_SHARED(T, inbox, [2][kMaxCluster][kCount]);
  const unsigned blocks = cluster_size();
  T(&messages)[kMaxCluster][kCount] = inbox[exchange % 2];
  if (threadIdx.x < blocks) {
    T* theirs = map_shared(&messages[cluster_rank()][0], threadIdx.x);
    for (int k = 0; k < kCount; ++k) theirs[k] = value[k];
  }
  sync_cluster();
  for (int k = 0; k < kCount; ++k) value[k] = messages[lane() & (blocks - 1)][k];
  for (unsigned distance = blocks / 2; distance > 0; distance /= 2)
    for (int k = 0; k < kCount; ++k)
      value[k] = op(value[k], shuffle_xor(value[k], static_cast<int>(distance)));
}

}  // namespace limbeck::gpu

// SPDX-License-Identifier: Apache-2.0
// Count sketch: every column goes to one of K buckets with a random sign. A projection that costs
// one addition per element; Charikar, Chen, Farach-Colton, "Finding frequent items in data streams"
// (ICALP 2002).
#pragma once

#include <limbeck/core/philox.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// Names one hash of columns: bucket h(d) and sign s(d) are pure functions of these fields, d and
/// K, equal on every device. A code written with it can be read as long as this mapping stands, so
/// it is part of the file format: with w = word d of the stream {seed, step = factor, layer,
/// RngPurpose::count_sketch}, s(d) is -1 when the lowest bit of w is set, and h(d) = (w >> 1) K /
/// 2^31, rounded down.
struct CountSketchHash {
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;   ///< layer, tap or whatever else tells sketches of one seed apart
  std::uint32_t factor = 0;  ///< tells the sketches of one tensor sketch apart
};

/// 2 h(d) + (s(d) < 0).
LIMBECK_HD std::int32_t count_sketch_target(const CountSketchHash& hash, std::int64_t K,
                                            std::int64_t d) {
  const std::uint32_t word =
      philox_word({hash.seed, hash.factor, hash.layer, RngPurpose::count_sketch},
                  static_cast<std::uint64_t>(d));
  const std::uint64_t bucket = std::uint64_t{word >> 1} * static_cast<std::uint64_t>(K) >> 31;
  return static_cast<std::int32_t>(2 * bucket + (word & 1u));
}

inline constexpr std::int64_t kMaxSketch = 4096;  ///< K at most

/// A hash of D columns into K buckets as tables, so that buckets gather their columns and no sum
/// needs an atomic. Make it once.
struct CountSketchPlan {
  std::int64_t D = 0, K = 0;
  Tensor target;  ///< (D) i32: 2 h(d) + (s(d) < 0)
  /// (L,K) i32 where L is the fullest bucket's size: column k lists the columns d of bucket k in
  /// ascending order as 2 d + (s(d) < 0), then -1.
  Tensor columns;
};

/// 1 <= D < 2^30, 1 <= K <= kMaxSketch.
CountSketchPlan count_sketch_plan(std::int64_t D, std::int64_t K, const CountSketchHash& hash,
                                  Device device = Device::cpu());

/// y_nk = sum over d with h(d) = k of s(d) x_nd, each sum in the order of d. x (N,D), y (N,K), one
/// floating dtype, 16-bit ones summed in f32; written; a GPU gives the CPU's bits.
void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan);
/// dx_nd = s(d) dy_n,h(d): the transpose. Written.
void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan);

namespace cpu {
void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan);
void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan);
}  // namespace cpu
namespace cuda {
void count_sketch_forward(Tensor& y, const Tensor& x, const CountSketchPlan& plan);
void count_sketch_backward(Tensor& dx, const Tensor& dy, const CountSketchPlan& plan);
}  // namespace cuda

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Internal: four rows side by side in shared memory, so that a table entry that names a column
// serves all four and one access fetches them.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/count_sketch.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

inline constexpr int kFour = 4;
inline constexpr int kFourThreads = 256;  ///< per block of the sketches' own kernels

struct alignas(16) Four {
  float row[kFour];
};

/// Where column c is kept: moved within its group of 8, so that threads that write columns 4 or 8
/// apart use different banks.
LIMBECK_DEVICE int four_slot(int c) { return c ^ (c >> 3 & 7); }
inline int four_slots(std::int64_t columns) { return static_cast<int>((columns + 7) / 8 * 8); }

/// Four rows of a matrix (rows, columns).
template <class T>
struct FourRows {
  T* data;
  std::int64_t rows;
  int columns;
  bool aligned;            ///< rows begin at a multiple of 16 bytes
  std::int64_t first = 0;  ///< of the four

  /// Row r of the four; of a missing one, the last row there is.
  LIMBECK_DEVICE std::int64_t row(int r) const { return first + r < rows ? first + r : rows - 1; }
  LIMBECK_DEVICE bool holds(int r) const { return first + r < rows; }
  LIMBECK_DEVICE T* at(int r, int c) const { return data + row(r) * columns + c; }
};

/// Of a grid whose blocks take four rows each.
LIMBECK_DEVICE std::int64_t first_row() { return std::int64_t{blockIdx.x} * kFour; }

template <class T, class Tensor>
FourRows<T> four_rows(Tensor& x) {
  FourRows<T> m{x.template data<std::remove_const_t<T>>(), x.dim(0), static_cast<int>(x.dim(1)),
                false};
  m.aligned = misalignment(m.data) == 0 && m.columns % kLanes<std::remove_const_t<T>> == 0;
  return m;
}

/// tile = columns [begin, end) of four rows, column begin first. All threads call; a
/// barrier has to follow. begin is a multiple of 8.
template <class T>
LIMBECK_DEVICE void load_four(Four* tile, const FourRows<const T>& x, int begin, int end) {
  constexpr int L = kLanes<T>;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (x.aligned) {
    for (int c = begin + thread * L; c < end; c += threads * L) {
      Vector<T> v[kFour];
      LIMBECK_UNROLL
      for (int r = 0; r < kFour; ++r) v[r] = load_vector(x.at(r, c));
      LIMBECK_UNROLL
      for (int j = 0; j < L; ++j) {
        Four four;
        LIMBECK_UNROLL
        for (int r = 0; r < kFour; ++r) four.row[r] = static_cast<float>(v[r].lane[j]);
        tile[four_slot(c - begin + j)] = four;
      }
    }
  } else {
    for (int c = begin + thread; c < end; c += threads) {
      Four four;
      LIMBECK_UNROLL
      for (int r = 0; r < kFour; ++r) four.row[r] = static_cast<float>(*x.at(r, c));
      tile[four_slot(c - begin)] = four;
    }
  }
}

/// Writes value(c), a Four, to column c of the rows, for all columns.
template <class T, class Value>
LIMBECK_DEVICE void store_four(const FourRows<T>& x, Value value) {
  constexpr int L = kLanes<T>;
  const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  if (x.aligned) {
    for (int c = thread * L; c < x.columns; c += threads * L) {
      Vector<T> v[kFour];
      LIMBECK_UNROLL
      for (int j = 0; j < L; ++j) {
        const Four four = value(c + j);
        LIMBECK_UNROLL
        for (int r = 0; r < kFour; ++r) v[r].lane[j] = T(four.row[r]);
      }
      LIMBECK_UNROLL
      for (int r = 0; r < kFour; ++r)
        if (x.holds(r)) store_vector(x.at(r, c), v[r]);
    }
  } else {
    for (int c = thread; c < x.columns; c += threads) {
      const Four four = value(c);
      LIMBECK_UNROLL
      for (int r = 0; r < kFour; ++r)
        if (x.holds(r)) *x.at(r, c) = T(four.row[r]);
    }
  }
}

/// A count sketch's tables on the device.
struct SketchTables {
  const std::int32_t* target;
  const std::int32_t* columns;
  int K, fullest;
};

inline SketchTables sketch_tables(const CountSketchPlan& plan) {
  return {plan.target.data<std::int32_t>(), plan.columns.data<std::int32_t>(),
          static_cast<int>(plan.K), static_cast<int>(plan.columns.dim(0))};
}

/// A walk along one bucket's columns.
struct BucketWalk {
  int bucket, place = 0;
  Four sum = {};

  /// Adds scale times what the bucket has of columns [begin, end), which `tile` holds.
  LIMBECK_DEVICE void add(const SketchTables& tables, const Four* tile, int begin, int end,
                          float scale) {
    for (; bucket < tables.K && place < tables.fullest; ++place) {
      const int entry = tables.columns[place * tables.K + bucket];
      if (entry < 0 || entry >> 1 >= end) return;
      const Four x = tile[four_slot((entry >> 1) - begin)];
      const float sign = entry & 1 ? -scale : scale;
      LIMBECK_UNROLL
      for (int r = 0; r < kFour; ++r) sum.row[r] = math::fma(sign, x.row[r], sum.row[r]);
    }
  }
};

/// Columns staged at a time.
inline constexpr int kStage = 2048;

/// Calls fn(begin, end) with columns [begin, end) of x in `tile`, which has
/// kStage places, for all columns in their order. All threads call.
template <class T, class Fn>
LIMBECK_DEVICE void for_each_stage(Four* tile, const FourRows<const T>& x, Fn fn) {
  for (int begin = 0; begin < x.columns; begin += kStage) {
    const int end = begin + kStage < x.columns ? begin + kStage : x.columns;
    sync_block();  // the stage before has been read
    load_four(tile, x, begin, end);
    sync_block();
    fn(begin, end);
  }
}

/// sum += scale s(d) code_h(d), for the column whose target is given.
LIMBECK_DEVICE void add_from_bucket(Four& sum, const Four* code, int target, float scale) {
  const Four four = code[four_slot(target >> 1)];
  const float sign = target & 1 ? -scale : scale;
  LIMBECK_UNROLL
  for (int r = 0; r < kFour; ++r) sum.row[r] = math::fma(sign, four.row[r], sum.row[r]);
}

}  // namespace limbeck::gpu

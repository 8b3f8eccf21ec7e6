// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: rows of which some classes are left out.
#pragma once

#include <limbeck/kernels/tile_rows.h>

namespace limbeck::cpu {

/// As TileInput, with -inf for the K classes of each row that `indices` (rows,K) names; an index
/// below 0 names none. Of a long row only the blocks that hold such a class are staged.
template <class F, class T, class Tile>
class MaskedInput {
 public:
  /// `staged` and `marks` have tile.size() elements each.
  MaskedInput(const Tile& tile, const T* x, F* staged, F* marks, const std::int32_t* indices,
              std::int64_t K)
      : tile_(tile), x_(x), staged_(staged), marks_(marks) {
    tile.load(staged, x, -std::numeric_limits<F>::infinity(), kDirect ? whole_blocks() : 0);
    if constexpr (kDirect)
      for (std::int64_t i = 0; i < whole_blocks(); i += kBlockElements) marks[i] = 0;
    for (std::int64_t row = 0; row < tile.count; ++row)
      for (std::int64_t k = 0; k < K; ++k)
        if (const std::int32_t v = indices[row * K + k]; v >= 0) mask(row, v);
  }
  const F* block(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      if (end <= tile_.V && marks_[begin] == F(0)) return x_ + begin;
    return staged_ + begin;
  }
  void prefetch_next(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      for (std::int64_t i = begin; i < end; i += kLanes) __builtin_prefetch(x_ + tile_.V + i, 0, 2);
  }

 private:
  static constexpr bool kDirect = kStaysInPlace<F, T, Tile>;

  std::int64_t whole_blocks() const { return tile_.V / kBlockElements * kBlockElements; }
  void mask(std::int64_t row, std::int64_t v) {
    if constexpr (kDirect) {
      const std::int64_t begin = v / kBlockElements * kBlockElements;
      if (begin < whole_blocks() && marks_[begin] == F(0)) {
        marks_[begin] = 1;
#pragma omp simd
        for (std::int64_t i = begin; i < begin + kBlockElements; ++i) staged_[i] = x_[i];
      }
    }
    staged_[tile_.index(row, v)] = -std::numeric_limits<F>::infinity();
  }

  const Tile& tile_;
  const T* x_;
  F* staged_;
  F* marks_;  // of a block, where it begins
};

}  // namespace limbeck::cpu

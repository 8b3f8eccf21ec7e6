// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: where a loop over a tile reads and writes. Whole blocks of a long row of the
// computing type stay where they are; everything else is staged in scratch.
#pragma once

#include <limbeck/kernels/row_tile.h>

namespace limbeck::cpu {

template <class F, class T, class Tile>
inline constexpr bool kStaysInPlace = Tile::kRows == 1 && std::is_same_v<F, T>;

/// Rows at x (T) as the elements of a tile.
template <class F, class T, class Tile>
class TileInput {
 public:
  /// `staged` has tile.size() elements; those beyond a long row's end are `pad`.
  TileInput(const Tile& tile, const T* x, F* staged, F pad) : x_(x), staged_(staged), V_(tile.V) {
    tile.load(staged, x, pad, kDirect ? V_ / kBlockElements * kBlockElements : 0);
  }
  /// Elements [begin, end), one block of the tile.
  const F* block(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      if (end <= V_) return x_ + begin;
    return staged_ + begin;
  }
  /// Asks for the same block of the row after this one.
  void prefetch_next(std::int64_t begin, std::int64_t end) const {
    if constexpr (kDirect)
      for (std::int64_t i = begin; i < end; i += kLanes) __builtin_prefetch(x_ + V_ + i, 0, 2);
  }

 private:
  static constexpr bool kDirect = kStaysInPlace<F, T, Tile>;
  const T* x_;
  F* staged_;
  std::int64_t V_;
};

/// Where to write them; `staged` may be an input's, as long as a loop reads an element before it
/// writes it.
template <class F, class T, class Tile>
class TileOutput {
 public:
  TileOutput(const Tile& tile, T* x, F* staged) : tile_(tile), x_(x), staged_(staged) {}
  F* block(std::int64_t begin, std::int64_t end) const {
    if constexpr (kStaysInPlace<F, T, Tile>)
      if (end <= tile_.V) return x_ + begin;
    return staged_ + begin;
  }
  /// Brings what is staged to its place; to be called once all blocks are written.
  void finish() const {
    if constexpr (kStaysInPlace<F, T, Tile>)
      for (std::int64_t v = tile_.V / kBlockElements * kBlockElements; v < tile_.V; ++v)
        x_[v] = staged_[v];
    else
      tile_.store(x_, staged_);
  }

 private:
  const Tile& tile_;
  T* x_;
  F* staged_;
};

}  // namespace limbeck::cpu

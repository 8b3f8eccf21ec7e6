// SPDX-License-Identifier: Apache-2.0
// Shape: up to six extents, row-major.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>
#include <string>

namespace limbeck {

inline constexpr int kMaxDims = 6;

/// Extents of a tensor. Every extent is >= 0 and their product fits in int64. Shape{} has rank 0
/// and one element.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  /// Extent i; a negative i counts from the end. Throws std::invalid_argument when out of range.
  std::int64_t operator[](int i) const;
  std::int64_t numel() const;
  std::string str() const;  ///< "(32,10)"

  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + rank_; }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxDims> dims_{};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace limbeck

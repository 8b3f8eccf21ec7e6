// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/shape.h>

#include <limbeck/core/error.h>

namespace limbeck {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  LIMBECK_CHECK(dims.size() <= kMaxDims, "Shape: rank ", dims.size(), "; expected at most ",
                kMaxDims);
  std::int64_t numel = 1;
  for (int i = 0; i < rank_; ++i) {
    LIMBECK_CHECK(dims[i] >= 0, "Shape: extent ", i, " is ", dims[i], "; expected >= 0");
    LIMBECK_CHECK(!__builtin_mul_overflow(numel, dims[i], &numel),
                  "Shape: more than 2^63 elements");
    dims_[i] = dims[i];
  }
}

std::int64_t Shape::operator[](int i) const {
  const int index = i < 0 ? i + rank_ : i;
  LIMBECK_CHECK(index >= 0 && index < rank_, "Shape: dimension ", i, " of ", str());
  return dims_[index];
}

std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  for (std::int64_t d : *this) n *= d;
  return n;
}

std::string Shape::str() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) {
    if (i > 0) text += ',';
    text += std::to_string(dims_[i]);
  }
  return text + ")";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

}  // namespace limbeck

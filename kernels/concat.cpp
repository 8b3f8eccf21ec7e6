// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/concat.h>

#include <algorithm>
#include <cstring>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {
namespace {

bool equal_but(const Shape& a, const Shape& b, int axis) {
  if (a.rank() != b.rank()) return false;
  for (int i = 0; i < a.rank(); ++i)
    if (i != axis && a[i] != b[i]) return false;
  return true;
}

// Checks the two and says where the part lies.
PartOfRows part_of_rows(const char* op, const Tensor& x, const Tensor& part, int axis,
                        std::int64_t begin) {
  LIMBECK_CHECK(x.defined() && part.defined(), op, ": a tensor is undefined");
  LIMBECK_CHECK(is_floating(x.dtype()), op, ": x is ", x.dtype(), "; expected a floating dtype");
  LIMBECK_CHECK(-x.rank() <= axis && axis < x.rank(), op, ": axis is ", axis, " of ", x.shape(),
                "; expected ", -x.rank(), " to ", x.rank() - 1);
  const int a = axis < 0 ? axis + x.rank() : axis;
  LIMBECK_CHECK(x.dtype() == part.dtype() && x.device() == part.device() &&
                    equal_but(x.shape(), part.shape(), a),
                op, ": a part is ", part.dtype(), part.shape(), " on ", part.device(), ", x ",
                x.dtype(), x.shape(), " on ", x.device(), "; expected equal ones but for axis ", a);
  LIMBECK_CHECK(0 <= begin && begin + part.dim(a) <= x.dim(a), op, ": elements ", begin, " to ",
                begin + part.dim(a), " of ", x.dim(a), " along axis ", a,
                "; expected them to be inside");
  PartOfRows where = {1, 1, 1, 1};
  for (int i = 0; i < a; ++i) where.rows *= x.dim(i);
  for (int i = a + 1; i < x.rank(); ++i) where.offset *= x.dim(i);
  where.x_width = where.offset * x.dim(a);
  where.width = where.offset * part.dim(a);
  where.offset *= begin;
  return where;
}

}  // namespace

void slice(Tensor& part, const Tensor& x, int axis, std::int64_t begin) {
  const PartOfRows where = part_of_rows("slice", x, part, axis, begin);
  LIMBECK_DISPATCH(x.device(), slice(part, x, where));
}

void place(Tensor& x, const Tensor& part, int axis, std::int64_t begin, Out out) {
  const PartOfRows where = part_of_rows("place", x, part, axis, begin);
  LIMBECK_DISPATCH(x.device(), place(x, part, where, out));
}

void concat(Tensor& y, const std::vector<Tensor>& parts, int axis) {
  std::int64_t end = 0;
  for (const Tensor& part : parts) {
    const PartOfRows where = part_of_rows("concat", y, part, axis, end);
    LIMBECK_DISPATCH(y.device(), place(y, part, where, Out::write));
    end += part.shape()[axis];
  }
  LIMBECK_CHECK(!parts.empty() && end == y.shape()[axis], "concat: the parts have ", end,
                " elements along axis ", axis, ", y ", y.shape(), "; expected equally many");
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task

// Calls body(to, from, count) for the stretches of the part that lie together in x: element `from`
// of x on is element `to` of the part on.
template <class Body>
void for_each_stretch(const PartOfRows& where, Body body) {
  parallel_ranges(where.numel(), kPiece, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end;) {
      const std::int64_t row = i / where.width, column = i - row * where.width;
      const std::int64_t count = std::min(where.width - column, end - i);
      body(i, row * where.x_width + where.offset + column, count);
      i += count;
    }
  });
}

template <class T>
void add_stretch(T* x, const T* part, std::int64_t count) {
  using F = ComputeType<T>;
  simd([=](auto) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i)
      x[i] = T(static_cast<F>(x[i]) + static_cast<F>(part[i]));
  });
}

}  // namespace

void slice(Tensor& part, const Tensor& x, const PartOfRows& where) {
  const auto size = static_cast<std::int64_t>(dtype_size(x.dtype()));
  char* to = static_cast<char*>(part.raw());
  const char* from = static_cast<const char*>(x.raw());
  for_each_stretch(where, [=](std::int64_t i, std::int64_t in_x, std::int64_t count) {
    std::memcpy(to + i * size, from + in_x * size, static_cast<std::size_t>(count * size));
  });
}

void place(Tensor& x, const Tensor& part, const PartOfRows& where, Out out) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = x.data<T>();
    const T* from = part.data<T>();
    for_each_stretch(where, [=](std::int64_t i, std::int64_t in_x, std::int64_t count) {
      if (out == Out::add)
        add_stretch(to + in_x, from + i, count);
      else
        std::copy_n(from + i, count, to + in_x);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

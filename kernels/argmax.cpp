// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/argmax.h>

#include <algorithm>
#include <limits>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {

void argmax_rows(Tensor& index, const Tensor& x) {
  LIMBECK_CHECK(x.defined() && index.defined(), "argmax_rows: index or x is undefined");
  LIMBECK_CHECK(x.rank() == 2 && x.dim(1) >= 1 && x.dim(1) <= std::numeric_limits<int>::max() &&
                    is_floating(x.dtype()),
                "argmax_rows: x is ", x.dtype(), x.shape(),
                "; expected a floating dtype and (N,V) with 1 <= V < 2^31");
  LIMBECK_CHECK(index.dtype() == DType::i32 && index.shape() == Shape({x.dim(0)}),
                "argmax_rows: index is ", index.dtype(), index.shape(), ", x has shape ", x.shape(),
                "; expected i32(N)");
  LIMBECK_CHECK(index.device() == x.device(), "argmax_rows: index is on ", index.device(),
                ", x on ", x.device(), "; expected one device");
  LIMBECK_DISPATCH(x.device(), argmax_rows(index, x));
}

void count_equal(Tensor& count, const Tensor& a, const Tensor& b) {
  LIMBECK_CHECK(count.defined() && a.defined() && b.defined(),
                "count_equal: count, a or b is undefined");
  LIMBECK_CHECK(count.dtype() == DType::i64 && count.numel() == 1, "count_equal: count is ",
                count.dtype(), count.shape(), "; expected one i64");
  LIMBECK_CHECK(
      a.dtype() == DType::i32 && b.dtype() == DType::i32 && a.rank() == 1 && a.shape() == b.shape(),
      "count_equal: a is ", a.dtype(), a.shape(), ", b ", b.dtype(), b.shape(),
      "; expected equal i32(N)");
  LIMBECK_CHECK(count.device() == a.device() && a.device() == b.device(),
                "count_equal: count is on ", count.device(), ", a on ", a.device(), ", b on ",
                b.device(), "; expected one device");
  LIMBECK_DISPATCH(a.device(), count_equal(count, a, b));
}

namespace cpu {
namespace {

constexpr int kWays = 16;

// The maximum and whether a NaN is there, then the first element that is it.
template <class T>
[[gnu::always_inline]] inline std::int64_t argmax_row(const T* x, std::int64_t n) {
  using C = ComputeType<T>;
  C best[kWays];
  int nan[kWays] = {};
  for (int j = 0; j < kWays; ++j) best[j] = -std::numeric_limits<C>::infinity();
  std::int64_t i = 0;
  for (; i + kWays <= n; i += kWays)
    for (int j = 0; j < kWays; ++j) {
      const C v = static_cast<C>(x[i + j]);
      best[j] = v > best[j] ? v : best[j];
      nan[j] |= v != v;
    }
  for (int j = 0; i < n; ++i, ++j) {
    const C v = static_cast<C>(x[i]);
    best[j] = v > best[j] ? v : best[j];
    nan[j] |= v != v;
  }
  for (int j = 1; j < kWays; ++j) {
    best[0] = best[j] > best[0] ? best[j] : best[0];
    nan[0] |= nan[j];
  }
  for (i = 0; i < n; ++i) {
    const C v = static_cast<C>(x[i]);
    if (nan[0] ? v != v : v == best[0]) break;
  }
  return i;
}

}  // namespace

void argmax_rows(Tensor& index, const Tensor& x) {
  const std::int64_t v = x.dim(1);
  std::int32_t* out = index.data<std::int32_t>();
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* in = x.data<T>();
    parallel_ranges(x.dim(0), std::max<std::int64_t>(1, 32768 / v),
                    [&](std::int64_t begin, std::int64_t end) {
                      simd([&](auto) {
                        for (std::int64_t n = begin; n < end; ++n)
                          out[n] = static_cast<std::int32_t>(argmax_row(in + n * v, v));
                      });
                    });
  });
}

void count_equal(Tensor& count, const Tensor& a, const Tensor& b) {
  const std::int32_t *p = a.data<std::int32_t>(), *q = b.data<std::int32_t>();
  std::int64_t equal = 0;
  simd([&](auto) {
    for (std::int64_t n = 0, end = a.numel(); n < end; ++n) equal += p[n] == q[n];
  });
  *count.data<std::int64_t>() = equal;
}

}  // namespace cpu

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_columns.h>

#include <algorithm>
#include <limits>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {
namespace {

void check_columns(const char* op, const char* what, const Tensor& x, const Tensor& norm) {
  LIMBECK_CHECK(x.rank() == 3 && x.dim(1) >= 1 && x.dim(2) >= 1, op, ": ", what, " has shape ",
                x.shape(), "; expected (N,P,C) with P and C >= 1");
  LIMBECK_CHECK(is_floating(x.dtype()), op, ": ", what, " is ", x.dtype(),
                "; expected a floating dtype");
  check_statistics(op, "norm", norm, {x.dim(0), x.dim(2)}, x);
}

}  // namespace

void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  check_columns("unit_columns_forward", "x", x, norm);
  check_like("unit_columns_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), unit_columns_forward(y, norm, x));
}

void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  check_columns("unit_columns_backward", "y", y, norm);
  check_like("unit_columns_backward", "dy", dy, "y", y);
  check_like("unit_columns_backward", "dx", dx, "y", y);
  LIMBECK_DISPATCH(y.device(), unit_columns_backward(dx, dy, y, norm));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task, about
constexpr std::int64_t kStrip = 64;     // columns that are walked down together

/// A strip of a sample's columns: `width` of them, element (p,c) at first + p C + c.
struct Strip {
  std::int64_t first, P, C, width, norms;
};

/// Calls body(strip) inside simd() for all strips of x (N,P,C), in parallel.
template <class Body>
void for_each_strip(const Tensor& x, Body body) {
  const std::int64_t P = x.dim(1), C = x.dim(2), strips = (C + kStrip - 1) / kStrip;
  const std::int64_t grain = kPiece / (P * std::min(C, kStrip)) + 1;
  parallel_ranges(x.dim(0) * strips, grain, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t n = i / strips, c = i % strips * kStrip;
        const std::int64_t width = C - c < kStrip ? C - c : kStrip;
        body(Strip{n * P * C + c, P, C, width, n * C + c});
      }
    });
  });
}

/// sum_c = that of a_pc b_pc over p.
template <class F, class T>
void dot(F (&sum)[kStrip], const T* a, const T* b, const Strip& s) {
  for (std::int64_t c = 0; c < kStrip; ++c) sum[c] = 0;
  for (std::int64_t p = 0; p < s.P; ++p) {
    const T *row_a = a + p * s.C, *row_b = b + p * s.C;
#pragma omp simd
    for (std::int64_t c = 0; c < s.width; ++c)
      sum[c] = math::fma(static_cast<F>(row_a[c]), static_cast<F>(row_b[c]), sum[c]);
  }
}

}  // namespace

void unit_columns_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    for_each_strip(x, [in = x.data<T>(), out = y.data<T>(), norms = norm.data<F>()](Strip s) {
      const T* from = in + s.first;
      T* to = out + s.first;
      F inverse[kStrip];
      dot(inverse, from, from, s);
#pragma omp simd
      for (std::int64_t c = 0; c < s.width; ++c) {
        const F squares = inverse[c];
        const F length = squares < std::numeric_limits<F>::min() ? F(0) : math::sqrt(squares);
        norms[s.norms + c] = length;
        inverse[c] = length > 0 ? 1 / length : length;  // a NaN stays one
      }
      for (std::int64_t p = 0; p < s.P; ++p) {
#pragma omp simd
        for (std::int64_t c = 0; c < s.width; ++c)
          to[p * s.C + c] = static_cast<F>(from[p * s.C + c]) * inverse[c];
      }
    });
  });
}

void unit_columns_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  visit_floating(y.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    for_each_strip(y, [grad = dy.data<T>(), unit = y.data<T>(), out = dx.data<T>(),
                       norms = norm.data<F>()](Strip s) {
      const T *g = grad + s.first, *u = unit + s.first;
      T* to = out + s.first;
      F along[kStrip], inverse[kStrip];
      dot(along, g, u, s);
#pragma omp simd
      for (std::int64_t c = 0; c < s.width; ++c)
        inverse[c] = norms[s.norms + c] == 0 ? F(0) : 1 / norms[s.norms + c];
      for (std::int64_t p = 0; p < s.P; ++p) {
#pragma omp simd
        for (std::int64_t c = 0; c < s.width; ++c) {
          const std::int64_t i = p * s.C + c;
          to[i] = math::fma(-static_cast<F>(u[i]), along[c], static_cast<F>(g[i])) * inverse[c];
        }
      }
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

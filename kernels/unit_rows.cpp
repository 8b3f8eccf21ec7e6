// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_rows.h>

#include <limits>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/each_row.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  check_rows("unit_rows_forward", "x", x);
  check_like("unit_rows_forward", "y", y, "x", x);
  check_statistics("unit_rows_forward", "norm", norm, {x.dim(0)}, x);
  LIMBECK_DISPATCH(x.device(), unit_rows_forward(y, norm, x));
}

void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  check_rows("unit_rows_backward", "y", y);
  check_like("unit_rows_backward", "dy", dy, "y", y);
  check_like("unit_rows_backward", "dx", dx, "y", y);
  check_statistics("unit_rows_backward", "norm", norm, {y.dim(0)}, y);
  LIMBECK_DISPATCH(y.device(), unit_rows_backward(dx, dy, y, norm));
}

namespace cpu {
namespace {

/// The sum of a_d b_d.
template <class F, class T>
F dot(const T* a, const T* b, std::int64_t D) {
  F sum[1];
  wide_sums(sum, D, [=](auto& s, std::int64_t lane, std::int64_t d) {
    s[0][lane] = math::fma(static_cast<F>(a[d]), static_cast<F>(b[d]), s[0][lane]);
  });
  return sum[0];
}

}  // namespace

void unit_rows_forward(Tensor& y, Tensor& norm, const Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t D = x.dim(1);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    F* norms = norm.data<F>();
    for_each_row(x.dim(0), D, [=](std::int64_t n) {
      const T* row = in + n * D;
      T* to = out + n * D;
      const F squares = dot<F>(row, row, D);
      const F length = squares < std::numeric_limits<F>::min() ? F(0) : math::sqrt(squares);
      const F inverse = length > 0 ? 1 / length : length;  // a NaN stays one
      norms[n] = length;
#pragma omp simd
      for (std::int64_t d = 0; d < D; ++d) to[d] = static_cast<F>(row[d]) * inverse;
    });
  });
}

void unit_rows_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& norm) {
  visit_floating(y.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t D = y.dim(1);
    const T *grad = dy.data<T>(), *unit = y.data<T>();
    const F* norms = norm.data<F>();
    T* out = dx.data<T>();
    for_each_row(y.dim(0), D, [=](std::int64_t n) {
      const T *g = grad + n * D, *u = unit + n * D;
      T* to = out + n * D;
      const F along = dot<F>(g, u, D);
      const F inverse = norms[n] == 0 ? F(0) : 1 / norms[n];
#pragma omp simd
      for (std::int64_t d = 0; d < D; ++d)
        to[d] = math::fma(-static_cast<F>(u[d]), along, static_cast<F>(g[d])) * inverse;
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/row_squares.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/each_row.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void row_squares_forward(Tensor& q, const Tensor& x) {
  check_rows("row_squares_forward", "x", x);
  check_statistics("row_squares_forward", "q", q, {x.dim(0)}, x);
  LIMBECK_DISPATCH(x.device(), row_squares_forward(q, x));
}

void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x) {
  check_rows("row_squares_backward", "x", x);
  check_like("row_squares_backward", "dx", dx, "x", x);
  check_statistics("row_squares_backward", "dq", dq, {x.dim(0)}, x);
  LIMBECK_DISPATCH(x.device(), row_squares_backward(dx, dq, x));
}

namespace cpu {

void row_squares_forward(Tensor& q, const Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t C = x.dim(1);
    for_each_row(x.dim(0), C, [in = x.data<T>(), out = q.data<F>(), C](std::int64_t n) {
      F sum[1];
      wide_sums(sum, C, [row = in + n * C](auto& s, std::int64_t lane, std::int64_t c) {
        const F v = static_cast<F>(row[c]);
        s[0][lane] = math::fma(v, v, s[0][lane]);
      });
      out[n] = sum[0];
    });
  });
}

void row_squares_backward(Tensor& dx, const Tensor& dq, const Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t C = x.dim(1);
    const T* in = x.data<T>();
    const F* grad = dq.data<F>();
    T* out = dx.data<T>();
    for_each_row(x.dim(0), C, [=](std::int64_t n) {
      const F twice = 2 * grad[n];
#pragma omp simd
      for (std::int64_t c = n * C; c < (n + 1) * C; ++c) out[c] = twice * static_cast<F>(in[c]);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

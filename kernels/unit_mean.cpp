// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_mean.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/sum_of.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {
namespace {

void check_values(const char* op, const char* what, const Tensor& x, const Tensor& mean) {
  LIMBECK_CHECK(x.defined() && is_floating(x.dtype()) && x.numel() >= 1, op, ": ", what, " is ",
                x.defined() ? detail::concat(x.dtype(), x.shape()) : "undefined",
                "; expected floating numbers, at least one");
  check_statistics(op, "mean", mean, {1}, x);
}

}  // namespace

void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x) {
  check_values("unit_mean_forward", "x", x, mean);
  check_like("unit_mean_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), unit_mean_forward(y, mean, x));
}

void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean) {
  check_values("unit_mean_backward", "y", y, mean);
  check_like("unit_mean_backward", "dy", dy, "y", y);
  check_like("unit_mean_backward", "dx", dx, "y", y);
  LIMBECK_DISPATCH(y.device(), unit_mean_backward(dx, dy, y, mean));
}

namespace cpu {
namespace {

/// The sum of a_i b_i, over pieces and then over these in order.
template <class F, class T>
F dot(const T* a, const T* b, std::int64_t n) {
  Tensor pieces = Tensor::empty({(n + kSumPiece - 1) / kSumPiece}, dtype_of<F>());
  F* sums = pieces.data<F>();
  parallel_ranges(n, kSumPiece, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
      F sum[1];
      wide_sums(sum, end - begin, [=](auto& s, std::int64_t lane, std::int64_t i) {
        s[0][lane] =
            math::fma(static_cast<F>(a[begin + i]), static_cast<F>(b[begin + i]), s[0][lane]);
      });
      sums[begin / kSumPiece] = sum[0];
    });
  });
  return sum_of<F>(pieces, [](F v) { return v; });
}

/// y_i = (x_i - shift) * factor.
template <class F, class T>
void shift_and_scale(T* y, const T* x, std::int64_t n, F shift, F factor) {
  parallel_ranges(n, kSumPiece, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) y[i] = (static_cast<F>(x[i]) - shift) * factor;
    });
  });
}

}  // namespace

void unit_mean_forward(Tensor& y, Tensor& mean, const Tensor& x) {
  visit_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const F m = sum_of<T>(x, [](F v) { return v; }) / static_cast<F>(x.numel());
    *mean.data<F>() = m;
    shift_and_scale<F>(y.data<T>(), x.data<T>(), x.numel(), F(0), m == 0 ? F(0) : 1 / m);
  });
}

void unit_mean_backward(Tensor& dx, const Tensor& dy, const Tensor& y, const Tensor& mean) {
  visit_floating(y.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t n = y.numel();
    const F m = *mean.data<F>();
    const F shift = dot<F>(dy.data<T>(), y.data<T>(), n) / static_cast<F>(n);
    shift_and_scale<F>(dx.data<T>(), dy.data<T>(), n, shift, m == 0 ? F(0) : 1 / m);
  });
}

}  // namespace cpu
}  // namespace limbeck

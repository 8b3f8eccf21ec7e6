// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kernel_mmd.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/kernel_mmd_functions.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "kernel_mmd";

void check_kernel(const char* name, double weight, double sigma) {
  LIMBECK_CHECK(weight >= 0 && std::isfinite(weight), kOp, ": ", name, "_weight is ", weight,
                "; expected >= 0");
  LIMBECK_CHECK(weight == 0 || (sigma > 0 && std::isfinite(sigma)), kOp, ": sigma_", name, " is ",
                sigma, "; expected > 0");
}

}  // namespace

void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options) {
  check_rows(kOp, "s", s);
  check_rows(kOp, "t", t);
  LIMBECK_CHECK(s.dim(0) >= 1 && t.dim(0) >= 1 && s.dim(1) == t.dim(1) && s.dtype() == t.dtype() &&
                    s.device() == t.device(),
                kOp, ": s is ", s.dtype(), s.shape(), " on ", s.device(), ", t ", t.dtype(),
                t.shape(), " on ", t.device(), "; expected (B,D) and (M,D) with B, M >= 1");
  check_statistics(kOp, "loss", loss, {1}, s);
  if (ds.defined()) check_like(kOp, "ds", ds, "s", s);
  check_kernel("rbf", options.rbf_weight, options.sigma_rbf);
  check_kernel("laplace", options.laplace_weight, options.sigma_laplace);
  LIMBECK_DISPATCH(s.device(), kernel_mmd_forward_with_grad(loss, ds, s, t, options));
}

namespace cpu {
namespace {

/// Kernel values of one row x against the rows of y (n,D), summed in double: their order is the
/// rows', and 4096 values of up to 1 still have all of an f32's digits.
template <class F>
double row_sum(const F* x, const F* y, std::int64_t n, std::int64_t D, const MmdKernel<F>& kernel,
               F* pull, F* push) {
  double total = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    const F* row = y + j * D;
    F apart[2];
    wide_sums(apart, D, [=](auto& sum, std::int64_t lane, std::int64_t d) {
      const F difference = row[d] - x[d];
      sum[0][lane] = math::fma(difference, difference, sum[0][lane]);
      sum[1][lane] += difference < F(0) ? -difference : difference;
    });
    const KernelPair<F> pair = kernel(apart[0], apart[1]);
    total += pair.k;
    pull[j] = pair.pull;
    push[j] = pair.push;
  }
  return total;
}

/// dx += factor sum_j g(x, y_j), given the kernels' parts of each j.
template <class F>
void add_gradient(F* dx, const F* x, const F* y, std::int64_t n, std::int64_t D, const F* pull,
                  const F* push, F factor) {
  for (std::int64_t j = 0; j < n; ++j) {
    const F* row = y + j * D;
    const F near = factor * pull[j], far = factor * push[j];
#pragma omp simd
    for (std::int64_t d = 0; d < D; ++d) {
      const F difference = row[d] - x[d];
      const F step = difference > F(0) ? far : difference < F(0) ? -far : F(0);
      dx[d] = math::fma(near, difference, dx[d] + step);
    }
  }
}

/// The rows of s: their kernels' sums with s and with t, and their gradients.
template <class F>
struct Rows {
  const F *s, *t;
  std::int64_t B, M, D;
  MmdKernel<F> kernel;

  void of_s(double& with_s, double& with_t, F* dx, F* pull, F* push, std::int64_t a) const {
    const F* x = s + a * D;
    const F within = static_cast<F>(2.0 / (static_cast<double>(B) * static_cast<double>(B)));
    const F across = static_cast<F>(-2.0 / (static_cast<double>(B) * static_cast<double>(M)));
    for (std::int64_t d = 0; dx && d < D; ++d) dx[d] = 0;
    with_s = row_sum(x, s, B, D, kernel, pull, push);
    if (dx) add_gradient(dx, x, s, B, D, pull, push, within);
    with_t = row_sum(x, t, M, D, kernel, pull, push);
    if (dx) add_gradient(dx, x, t, M, D, pull, push, across);
  }
};

}  // namespace

void kernel_mmd_forward_with_grad(Tensor& loss, Tensor& ds, const Tensor& s, const Tensor& t,
                                  const KernelMmdOptions& options) {
  visit_floating(s.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const Tensor full_s = s.to(dtype_of<F>()), full_t = t.to(dtype_of<F>());
    const Rows<F> rows{full_s.data<F>(), full_t.data<F>(), s.dim(0),
                       t.dim(0),         s.dim(1),         MmdKernel<F>(options)};
    const std::int64_t B = rows.B, M = rows.M, D = rows.D;
    Tensor room = Tensor::empty({2 * B + M}, DType::f64);
    double *with_s = room.data<double>(), *with_t = with_s + B, *of_t = with_t + B;
    T* grad = ds.defined() ? ds.data<T>() : nullptr;
    parallel_for(B + M, [&](std::int64_t row) {
      Tensor scratch = Tensor::empty({2 * std::max(B, M) + D}, dtype_of<F>());
      F *pull = scratch.data<F>(), *push = pull + std::max(B, M), *dx = push + std::max(B, M);
      simd([&](auto) {
        if (row >= B) {
          of_t[row - B] = row_sum(rows.t + (row - B) * D, rows.t, M, D, rows.kernel, pull, push);
          return;
        }
        rows.of_s(with_s[row], with_t[row], grad ? dx : nullptr, pull, push, row);
        for (std::int64_t d = 0; grad && d < D; ++d) grad[row * D + d] = static_cast<T>(dx[d]);
      });
    });
    double sums[3] = {0, 0, 0};  // s with s, s with t, t with t
    for (std::int64_t a = 0; a < B; ++a) sums[0] += with_s[a];
    for (std::int64_t a = 0; a < B; ++a) sums[1] += with_t[a];
    for (std::int64_t i = 0; i < M; ++i) sums[2] += of_t[i];
    const auto b = static_cast<double>(B), m = static_cast<double>(M);
    *loss.data<F>() =
        static_cast<F>(sums[0] / (b * b) + sums[2] / (m * m) - 2 * (sums[1] / (b * m)));
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/layer_norm.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {
namespace {

Shape rows_of(const Tensor& x) { return {x.numel() / x.dim(x.rank() - 1)}; }

void check_saved(const char* op, const Tensor& x, const Tensor& mean, const Tensor& rstd) {
  check_norm_input(op, x);
  if (mean.defined()) check_statistics(op, "mean", mean, rows_of(x), x);
  check_statistics(op, "rstd", rstd, rows_of(x), x);
}

}  // namespace

void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps) {
  check_saved("layer_norm_forward", x, mean, rstd);
  check_like("layer_norm_forward", "y", y, "x", x);
  check_norm_parameter("layer_norm_forward", "weight", weight, x);
  check_norm_parameter("layer_norm_forward", "bias", bias, x);
  check_eps("layer_norm_forward", eps);
  LIMBECK_DISPATCH(x.device(), layer_norm_forward(y, mean, rstd, x, weight, bias, eps));
}

void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight) {
  check_saved("layer_norm_backward", x, mean, rstd);
  check_like("layer_norm_backward", "dy", dy, "x", x);
  check_like("layer_norm_backward", "dx", dx, "x", x);
  check_norm_parameter("layer_norm_backward", "weight", weight, x);
  LIMBECK_DISPATCH(x.device(), layer_norm_backward(dx, dy, x, mean, rstd, weight));
}

void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out) {
  check_saved("layer_norm_backward_weight", x, mean, rstd);
  check_like("layer_norm_backward_weight", "dy", dy, "x", x);
  LIMBECK_CHECK(dweight.defined(),
                "layer_norm_backward_weight: dweight is undefined; expected (C)");
  check_norm_parameter("layer_norm_backward_weight", "dweight", dweight, x);
  LIMBECK_DISPATCH(x.device(), layer_norm_backward_weight(dweight, dy, x, mean, rstd, out));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task, about
constexpr std::int64_t kColumns = 64;   // columns per task of the gradient of weight

/// weight or bias as F, `value` where there is none.
template <class F, class T>
Tensor expanded(const Tensor& parameter, std::int64_t C, F value) {
  if (!parameter.defined()) return Tensor::full({C}, value, dtype_of<F>());
  return parameter.to(dtype_of<F>());
}

/// Calls body(row) inside simd() for all rows, in parallel.
template <class Body>
void for_each_row(std::int64_t rows, std::int64_t C, Body body) {
  parallel_ranges(rows, kPiece / C + 1, [&](std::int64_t begin, std::int64_t end) {
    simd([&](auto) {
      for (std::int64_t n = begin; n < end; ++n) body(n);
    });
  });
}

template <class F, class T>
F row_mean(const T* x, std::int64_t C) {
  F sum[1];
  wide_sums(sum, C, [x](auto& s, std::int64_t lane, std::int64_t c) {
    s[0][lane] += static_cast<F>(x[c]);
  });
  return sum[0] / static_cast<F>(C);
}

template <class F, class T>
F row_rstd(const T* x, std::int64_t C, F mean, F eps) {
  F sum[1];
  wide_sums(sum, C, [x, mean](auto& s, std::int64_t lane, std::int64_t c) {
    const F difference = static_cast<F>(x[c]) - mean;
    s[0][lane] = math::fma(difference, difference, s[0][lane]);
  });
  return 1 / math::sqrt(sum[0] / static_cast<F>(C) + eps);
}

template <class F, class T>
void backward_row(T* dx, const T* dy, const T* x, const F* weight, std::int64_t C, F mean, F rstd,
                  bool centred) {
  F sum[2];
  wide_sums(sum, C, [=](auto& s, std::int64_t lane, std::int64_t c) {
    const F g = static_cast<F>(dy[c]) * weight[c];
    s[0][lane] += g;
    s[1][lane] = math::fma(g, (static_cast<F>(x[c]) - mean) * rstd, s[1][lane]);
  });
  const F shift = centred ? sum[0] / static_cast<F>(C) : F(0);
  const F slope = sum[1] / static_cast<F>(C);
#pragma omp simd
  for (std::int64_t c = 0; c < C; ++c) {
    const F n = (static_cast<F>(x[c]) - mean) * rstd;
    dx[c] = rstd * math::fma(-n, slope, static_cast<F>(dy[c]) * weight[c] - shift);
  }
}

/// One chain over the rows for each of `columns` columns.
template <class F, class T>
void weight_columns(T* dweight, const T* dy, const T* x, const F* mean, const F* rstd,
                    std::int64_t rows, std::int64_t C, std::int64_t columns, Out out) {
  F chain[kColumns] = {};
  for (std::int64_t c = 0; out == Out::add && c < columns; ++c)
    chain[c] = static_cast<F>(dweight[c]);
  for (std::int64_t n = 0; n < rows; ++n) {
    const T *g = dy + n * C, *value = x + n * C;
    const F m = mean ? mean[n] : F(0), r = rstd[n];
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c)
      chain[c] = math::fma(static_cast<F>(g[c]), (static_cast<F>(value[c]) - m) * r, chain[c]);
  }
  for (std::int64_t c = 0; c < columns; ++c) dweight[c] = chain[c];
}

}  // namespace

void layer_norm_forward(Tensor& y, Tensor& mean, Tensor& rstd, const Tensor& x,
                        const Tensor& weight, const Tensor& bias, double eps) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t C = x.dim(x.rank() - 1), rows = x.numel() / C;
    const Tensor scales = expanded<F, T>(weight, C, 1), shifts = expanded<F, T>(bias, C, 0);
    const F *w = scales.data<F>(), *b = shifts.data<F>();
    F *means = mean.defined() ? mean.data<F>() : nullptr, *rstds = rstd.data<F>();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_each_row(rows, C, [=](std::int64_t n) {
      const T* row = in + n * C;
      T* to = out + n * C;
      const F m = means ? row_mean<F>(row, C) : F(0);
      const F r = row_rstd(row, C, m, static_cast<F>(eps));
      if (means) means[n] = m;
      rstds[n] = r;
#pragma omp simd
      for (std::int64_t c = 0; c < C; ++c)
        to[c] = math::fma((static_cast<F>(row[c]) - m) * r, w[c], b[c]);
    });
  });
}

void layer_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                         const Tensor& rstd, const Tensor& weight) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t C = x.dim(x.rank() - 1), rows = x.numel() / C;
    const Tensor scales = expanded<F, T>(weight, C, 1);
    const F *w = scales.data<F>(), *means = data_or_null<F>(mean), *rstds = rstd.data<F>();
    const T *in = x.data<T>(), *grad = dy.data<T>();
    T* out = dx.data<T>();
    for_each_row(rows, C, [=](std::int64_t n) {
      backward_row(out + n * C, grad + n * C, in + n * C, w, C, means ? means[n] : F(0), rstds[n],
                   means != nullptr);
    });
  });
}

void layer_norm_backward_weight(Tensor& dweight, const Tensor& dy, const Tensor& x,
                                const Tensor& mean, const Tensor& rstd, Out out) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t C = x.dim(x.rank() - 1), rows = x.numel() / C;
    const F *means = data_or_null<F>(mean), *rstds = rstd.data<F>();
    const T *in = x.data<T>(), *grad = dy.data<T>();
    T* sums = dweight.data<T>();
    parallel_ranges(C, kColumns, [=](std::int64_t begin, std::int64_t end) {
      simd([=](auto) {
        weight_columns(sums + begin, grad + begin, in + begin, means, rstds, rows, C, end - begin,
                       out);
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

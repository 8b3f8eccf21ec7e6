// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/channel_norm.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {
namespace {

void check_input(const char* op, const Tensor& x, const Tensor& mean, const Tensor& variance) {
  check_norm_input(op, x);
  LIMBECK_CHECK(x.rank() == 3 && x.dim(1) >= 1, op, ": x has shape ", x.shape(),
                "; expected (N,R,C) with R >= 1");
  LIMBECK_CHECK(
      mean.defined() && mean.rank() == 2 && mean.dim(1) >= 1 && x.dim(2) % mean.dim(1) == 0, op,
      ": mean has shape ", mean.defined() ? mean.shape() : Shape{}, ", x ", x.shape(),
      "; expected (N,G), G a divisor of the channels");
  check_statistics(op, "mean", mean, {x.dim(0), mean.dim(1)}, x);
  check_statistics(op, "variance", variance, {x.dim(0), mean.dim(1)}, x);
}

}  // namespace

void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x) {
  check_input("channel_statistics", x, mean, variance);
  LIMBECK_DISPATCH(x.device(), channel_statistics(mean, variance, x));
}

void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps) {
  check_input("channel_norm_forward", x, mean, variance);
  check_like("channel_norm_forward", "y", y, "x", x);
  check_norm_parameter("channel_norm_forward", "weight", weight, x);
  check_norm_parameter("channel_norm_forward", "bias", bias, x);
  check_eps("channel_norm_forward", eps);
  LIMBECK_DISPATCH(x.device(), channel_norm_forward(y, x, mean, variance, weight, bias, eps));
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps) {
  check_input("channel_norm_sums", x, mean, variance);
  check_like("channel_norm_sums", "dy", dy, "x", x);
  check_statistics("channel_norm_sums", "sum_dy", sum_dy, {x.dim(0), x.dim(2)}, x);
  check_statistics("channel_norm_sums", "sum_dyn", sum_dyn, {x.dim(0), x.dim(2)}, x);
  check_eps("channel_norm_sums", eps);
  LIMBECK_DISPATCH(x.device(), channel_norm_sums(sum_dy, sum_dyn, dy, x, mean, variance, eps));
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps) {
  check_input("channel_norm_backward", x, mean, variance);
  check_like("channel_norm_backward", "dy", dy, "x", x);
  check_like("channel_norm_backward", "dx", dx, "x", x);
  check_norm_parameter("channel_norm_backward", "weight", weight, x);
  if (sum_dy.defined() || sum_dyn.defined()) {
    check_statistics("channel_norm_backward", "sum_dy", sum_dy, {x.dim(0), x.dim(2)}, x);
    check_statistics("channel_norm_backward", "sum_dyn", sum_dyn, {x.dim(0), x.dim(2)}, x);
  }
  check_eps("channel_norm_backward", eps);
  LIMBECK_DISPATCH(x.device(),
                   channel_norm_backward(dx, dy, x, mean, variance, weight, sum_dy, sum_dyn, eps));
}

namespace cpu {
namespace {

constexpr std::int64_t kColumns = 64;  // whose sums a core keeps in its registers or first cache

/// How x (N,R,C) is cut into pieces of rows, which fixes the order of the sums.
struct Cut {
  std::int64_t N, R, C, G, rows, pieces;

  Cut(const Tensor& x, const Tensor& mean) : N(x.dim(0)), R(x.dim(1)), C(x.dim(2)), G(mean.dim(1)) {
    rows = std::max<std::int64_t>(16, 32768 / C);
    pieces = (R + rows - 1) / rows;
  }
  /// Calls body(sample, piece, first element, rows) inside simd() for all pieces, in parallel.
  template <class Body>
  void for_each_piece(Body body) const {
    parallel_for(N * pieces, [&](std::int64_t task) {
      const std::int64_t n = task / pieces, p = task % pieces;
      simd([&](auto) { body(n, p, (n * R + p * rows) * C, rows_of(p)); });
    });
  }
  std::int64_t rows_of(std::int64_t piece) const {
    return piece + 1 < pieces ? rows : R - piece * rows;
  }
};

/// Calls body(first column, columns) for blocks of columns.
template <class Body>
void for_each_block(std::int64_t C, Body body) {
  for (std::int64_t c = 0; c < C; c += kColumns) body(c, C - c < kColumns ? C - c : kColumns);
}

/// mean_c and m2_c = sum of (x - mean_c)^2 over rows; the mean is corrected by what is left over.
template <class F, class T>
void moments(F* mean, F* m2, const T* x, std::int64_t rows, std::int64_t C, std::int64_t columns) {
  F center[kColumns] = {}, rest[kColumns] = {}, squares[kColumns] = {};
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) center[c] += static_cast<F>(x[r * C + c]);
  }
  const auto count = static_cast<F>(rows);
  for (std::int64_t c = 0; c < columns; ++c) center[c] /= count;
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) {
      const F difference = static_cast<F>(x[r * C + c]) - center[c];
      rest[c] += difference;
      squares[c] = math::fma(difference, difference, squares[c]);
    }
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    mean[c] = center[c] + rest[c] / count;
    m2[c] = squares[c] - rest[c] * (rest[c] / count);
  }
}

/// Moments (pieces,2,C) of one sample's pieces, merged into those of its groups.
template <class F>
void merge(F* mean, F* variance, const F* moments, const Cut& cut) {
  const std::int64_t C = cut.C, width = C / cut.G;
  std::vector<double> center(static_cast<std::size_t>(C)), squares(center);
  for (std::int64_t p = 0; p < cut.pieces; ++p) {
    const auto count = static_cast<double>(cut.rows_of(p));
    for (std::int64_t c = 0; c < C; ++c) center[c] += count * moments[2 * p * C + c];
  }
  for (double& c : center) c /= static_cast<double>(cut.R);
  for (std::int64_t p = 0; p < cut.pieces; ++p) {
    const auto count = static_cast<double>(cut.rows_of(p));
    for (std::int64_t c = 0; c < C; ++c) {
      const double apart = moments[2 * p * C + c] - center[c];
      squares[c] += moments[(2 * p + 1) * C + c] + count * (apart * apart);
    }
  }
  for (std::int64_t g = 0; g < cut.G; ++g) {
    double total = 0, m2 = 0;
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) total += center[c];
    const double middle = total / static_cast<double>(width);
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
      const double apart = center[c] - middle;
      m2 += squares[c] + static_cast<double>(cut.R) * (apart * apart);
    }
    mean[g] = static_cast<F>(middle);
    variance[g] = static_cast<F>(m2 / static_cast<double>(width * cut.R));
  }
}

/// What the elements of sample n's channel c are computed from; each field (N,C). Forward:
/// y = (x - center) scale + shift. Backward: dx = dy scale - (x - center) slope - shift.
template <class F>
struct Coefficients {
  Tensor memory;
  F *center, *scale, *shift, *slope;

  explicit Coefficients(const Cut& cut)
      : memory(Tensor::zeros({4, cut.N * cut.C}, dtype_of<F>())), center(memory.data<F>()) {
    scale = center + cut.N * cut.C;
    shift = scale + cut.N * cut.C;
    slope = shift + cut.N * cut.C;
  }
};

/// weight or bias as F, `value` where there is none.
template <class F>
Tensor expanded(const Tensor& parameter, std::int64_t C, F value) {
  if (!parameter.defined()) return Tensor::full({C}, value, dtype_of<F>());
  return parameter.to(dtype_of<F>());
}

/// Centers, scales rstd weight, and bias as shifts.
template <class F>
Coefficients<F> forward_coefficients(const Cut& cut, const Tensor& mean, const Tensor& variance,
                                     const Tensor& weight, const Tensor& bias, double eps) {
  Coefficients<F> k(cut);
  const Tensor weights = expanded<F>(weight, cut.C, 1), biases = expanded<F>(bias, cut.C, 0);
  const F *w = weights.data<F>(), *b = biases.data<F>();
  const F *m = mean.data<F>(), *v = variance.data<F>();
  const std::int64_t width = cut.C / cut.G;
  for (std::int64_t i = 0; i < cut.N * cut.C; ++i) {
    const std::int64_t group = i / width, c = i % cut.C;
    k.center[i] = m[group];
    k.scale[i] = w[c] / math::sqrt(v[group] + static_cast<F>(eps));
    k.shift[i] = b[c];
  }
  return k;
}

/// Adds the terms by which a group's statistics depend on x to coefficients with bias 0.
template <class F>
void add_statistics_terms(Coefficients<F>& k, const Cut& cut, const F* w, const F* variance,
                          const F* sum_dy, const F* sum_dyn, F eps) {
  const std::int64_t width = cut.C / cut.G;
  for (std::int64_t group = 0; group < cut.N * cut.G; ++group) {
    const F rstd = 1 / math::sqrt(variance[group] + eps);
    const std::int64_t first = group * width;
    F g = 0, gn = 0;
    for (std::int64_t i = first; i < first + width; ++i) {
      g += w[i % cut.C] * sum_dy[i];
      gn += w[i % cut.C] * sum_dyn[i];
    }
    const auto count = static_cast<F>(cut.R * width);
    for (std::int64_t i = first; i < first + width; ++i) {
      k.shift[i] = rstd * (g / count);
      k.slope[i] = rstd * rstd * (gn / count);
    }
  }
}

}  // namespace

void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Cut cut(x, mean);
    const std::int64_t C = cut.C;
    Tensor pieces = Tensor::empty({cut.N * cut.pieces, 2, C}, dtype_of<F>());
    F* found = pieces.data<F>();
    const T* in = x.data<T>();
    cut.for_each_piece([=](std::int64_t n, std::int64_t p, std::int64_t first, std::int64_t rows) {
      F* to = found + 2 * (n * cut.pieces + p) * C;
      for_each_block(C, [=](std::int64_t c, std::int64_t columns) {
        moments(to + c, to + C + c, in + first + c, rows, C, columns);
      });
    });
    F *means = mean.data<F>(), *variances = variance.data<F>();
    parallel_for(cut.N, [=](std::int64_t n) {
      merge(means + n * cut.G, variances + n * cut.G, found + 2 * n * cut.pieces * C, cut);
    });
  });
}

void channel_norm_forward(Tensor& y, const Tensor& x, const Tensor& mean, const Tensor& variance,
                          const Tensor& weight, const Tensor& bias, double eps) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Cut cut(x, mean);
    const std::int64_t C = cut.C;
    const auto k = forward_coefficients<F>(cut, mean, variance, weight, bias, eps);
    const T* in = x.data<T>();
    T* out = y.data<T>();
    cut.for_each_piece(
        [=, &k](std::int64_t n, std::int64_t, std::int64_t first, std::int64_t rows) {
          const F *center = k.center + n * C, *scale = k.scale + n * C, *shift = k.shift + n * C;
          for (std::int64_t i = first; i < first + rows * C; i += C) {
#pragma omp simd
            for (std::int64_t c = 0; c < C; ++c)
              out[i + c] = math::fma(static_cast<F>(in[i + c]) - center[c], scale[c], shift[c]);
          }
        });
  });
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const Tensor& mean, const Tensor& variance, double eps) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Cut cut(x, mean);
    const std::int64_t C = cut.C;
    const auto k = forward_coefficients<F>(cut, mean, variance, Tensor(), Tensor(), eps);
    Tensor pieces = Tensor::empty({cut.N * cut.pieces, 2, C}, dtype_of<F>());
    F* found = pieces.data<F>();
    const T *in = x.data<T>(), *grad = dy.data<T>();
    cut.for_each_piece([=, &k](std::int64_t n, std::int64_t p, std::int64_t first,
                               std::int64_t rows) {
      F* to = found + 2 * (n * cut.pieces + p) * C;
      for_each_block(C, [=, &k](std::int64_t c0, std::int64_t columns) {
        const F *center = k.center + n * C + c0, *scale = k.scale + n * C + c0;
        F sum[kColumns] = {}, sum_n[kColumns] = {};
        for (std::int64_t i = first + c0; i < first + rows * C; i += C) {
#pragma omp simd
          for (std::int64_t c = 0; c < columns; ++c) {
            const F g = static_cast<F>(grad[i + c]);
            sum[c] += g;
            sum_n[c] = math::fma(g, (static_cast<F>(in[i + c]) - center[c]) * scale[c], sum_n[c]);
          }
        }
        for (std::int64_t c = 0; c < columns; ++c) to[c0 + c] = sum[c];
        for (std::int64_t c = 0; c < columns; ++c) to[C + c0 + c] = sum_n[c];
      });
    });
    F *plain = sum_dy.data<F>(), *with_n = sum_dyn.data<F>();
    for (std::int64_t n = 0; n < cut.N; ++n)
      for (std::int64_t c = 0; c < C; ++c) {
        double sum = 0, sum_n = 0;
        for (std::int64_t p = n * cut.pieces; p < (n + 1) * cut.pieces; ++p) {
          sum += found[2 * p * C + c];
          sum_n += found[(2 * p + 1) * C + c];
        }
        plain[n * C + c] = static_cast<F>(sum);
        with_n[n * C + c] = static_cast<F>(sum_n);
      }
  });
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& mean,
                           const Tensor& variance, const Tensor& weight, const Tensor& sum_dy,
                           const Tensor& sum_dyn, double eps) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const Cut cut(x, mean);
    const std::int64_t C = cut.C;
    auto k = forward_coefficients<F>(cut, mean, variance, weight, Tensor(), eps);
    if (sum_dy.defined())
      add_statistics_terms<F>(k, cut, expanded<F>(weight, C, 1).template data<F>(),
                              variance.data<F>(), sum_dy.data<F>(), sum_dyn.data<F>(),
                              static_cast<F>(eps));
    const T *in = x.data<T>(), *grad = dy.data<T>();
    T* out = dx.data<T>();
    cut.for_each_piece(
        [=, &k](std::int64_t n, std::int64_t, std::int64_t first, std::int64_t rows) {
          const F *center = k.center + n * C, *scale = k.scale + n * C;
          const F *shift = k.shift + n * C, *slope = k.slope + n * C;
          for (std::int64_t i = first; i < first + rows * C; i += C) {
#pragma omp simd
            for (std::int64_t c = 0; c < C; ++c) {
              const F down = math::fma(static_cast<F>(in[i + c]) - center[c], slope[c], shift[c]);
              out[i + c] = math::fma(static_cast<F>(grad[i + c]), scale[c], -down);
            }
          }
        });
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/channel_norm.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/channel_cut.h>
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

void check(const char* op, const Tensor& x, const ChannelNorm& norm) {
  check_input(op, x, norm.mean, norm.variance);
  check_norm_parameter(op, "weight", norm.weight, x);
  check_norm_parameter(op, "bias", norm.bias, x);
  check_eps(op, norm.eps);
}

void check_sums(const char* op, const Tensor& sum_dy, const Tensor& sum_dyn, const Tensor& x) {
  check_statistics(op, "sum_dy", sum_dy, {x.dim(0), x.dim(2)}, x);
  check_statistics(op, "sum_dyn", sum_dyn, {x.dim(0), x.dim(2)}, x);
}

void check_relu_comes_last(const char* op, const ChannelNorm& norm) {
  LIMBECK_CHECK(!norm.relu, op, ": the norm has a relu of its own; expected none before the sum");
}

}  // namespace

void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x) {
  check_input("channel_statistics", x, mean, variance);
  LIMBECK_DISPATCH(x.device(), channel_statistics(mean, variance, x));
}

void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  check("channel_norm_forward", x, norm);
  check_like("channel_norm_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), channel_norm_forward(y, x, norm));
}

void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm) {
  check("channel_norm_add_relu_forward", x, norm);
  check_like("channel_norm_add_relu_forward", "y", y, "x", x);
  check_like("channel_norm_add_relu_forward", "skip", skip, "x", x);
  check_relu_comes_last("channel_norm_add_relu_forward", norm);
  LIMBECK_DISPATCH(x.device(), channel_norm_add_relu_forward(y, x, skip, norm));
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm) {
  check("channel_norm_sums", x, norm);
  check_like("channel_norm_sums", "dy", dy, "x", x);
  check_sums("channel_norm_sums", sum_dy, sum_dyn, x);
  LIMBECK_DISPATCH(x.device(), channel_norm_sums(sum_dy, sum_dyn, dy, x, norm));
}

void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  check("channel_norm_add_relu_sums", x, norm);
  check_like("channel_norm_add_relu_sums", "dz", dz, "x", x);
  check_like("channel_norm_add_relu_sums", "dy", dy, "x", x);
  check_like("channel_norm_add_relu_sums", "y", y, "x", x);
  check_sums("channel_norm_add_relu_sums", sum_dy, sum_dyn, x);
  check_relu_comes_last("channel_norm_add_relu_sums", norm);
  LIMBECK_DISPATCH(x.device(), channel_norm_add_relu_sums(sum_dy, sum_dyn, dz, dy, y, x, norm));
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn) {
  check("channel_norm_backward", x, norm);
  check_like("channel_norm_backward", "dy", dy, "x", x);
  check_like("channel_norm_backward", "dx", dx, "x", x);
  if (sum_dy.defined() || sum_dyn.defined())
    check_sums("channel_norm_backward", sum_dy, sum_dyn, x);
  LIMBECK_DISPATCH(x.device(), channel_norm_backward(dx, dy, x, norm, sum_dy, sum_dyn));
}

namespace cpu {
namespace {

/// weight or bias as F, `value` where there is none.
template <class F>
Tensor expanded(const Tensor& parameter, std::int64_t C, F value) {
  if (!parameter.defined()) return Tensor::full({C}, value, dtype_of<F>());
  return parameter.to(dtype_of<F>());
}

/// What an element is computed from, each field (N,width): a row has all channels, and again and
/// again where they are few, so that one loop serves several rows of x.
/// Forward: y = (x - center) scale + bias. Backward: dx = dy scale + (x - center) slope + shift; a
/// minus of that sum would become part of the fma for some instruction sets, and turn its zeros.
template <class F>
struct Coefficients {
  std::int64_t width;
  Tensor memory;
  F *center, *rstd, *scale, *bias, *shift, *slope;

  Coefficients(const ChannelCut& cut, const ChannelNorm& norm)
      : width(cut.C < kColumns ? kColumns / cut.C * cut.C : cut.C),
        memory(Tensor::zeros({6, cut.N * width}, dtype_of<F>())) {
    F* next = memory.data<F>();
    for (F** field : {&center, &rstd, &scale, &bias, &shift, &slope}) {
      *field = next;
      next += cut.N * width;
    }
    const Tensor weights = expanded<F>(norm.weight, cut.C, 1);
    const Tensor biases = expanded<F>(norm.bias, cut.C, 0);
    const F *w = weights.data<F>(), *b = biases.data<F>();
    const F *mean = norm.mean.data<F>(), *variance = norm.variance.data<F>();
    for (std::int64_t i = 0; i < cut.N * width; ++i) {
      const std::int64_t c = i % width % cut.C, group = i / width * cut.G + c / (cut.C / cut.G);
      const F root = math::sqrt(variance[group] + static_cast<F>(norm.eps));
      center[i] = mean[group];
      rstd[i] = 1 / root;
      scale[i] = w[c] / root;
      bias[i] = b[c];
    }
  }

  /// Sets what depends on x by way of its statistics: shift and slope, else 0.
  void vary(const ChannelCut& cut, const F* w, const F* sum_dy, const F* sum_dyn) {
    const std::int64_t C = cut.C, members = C / cut.G;
    const auto count = static_cast<F>(cut.R * members);
    for (std::int64_t n = 0; n < cut.N; ++n)
      for (std::int64_t first = 0; first < C; first += members) {
        F g = 0, gn = 0;
        for (std::int64_t c = first; c < first + members; ++c) {
          g += w[c] * sum_dy[n * C + c];
          gn += w[c] * sum_dyn[n * C + c];
        }
        const F root = rstd[n * width + first];
        for (std::int64_t c = first; c < first + members; ++c)
          for (std::int64_t i = n * width + c; i < (n + 1) * width; i += C) {
            shift[i] = -(root * (g / count));
            slope[i] = -(root * root * (gn / count));
          }
      }
  }
};

/// v as T would have it.
template <class T, class F>
[[gnu::always_inline]] inline F rounded(F v) {
  T as_stored;
  as_stored = v;
  return static_cast<F>(as_stored);
}

/// The largest number that T rounds to 0: half of its smallest one, of which the even neighbour is
/// 0. Tells the sign of what is still to be rounded, which takes most of a pass over 16 bits.
template <class T>
inline constexpr ComputeType<T> kRoundsToZero = 0;
template <>
inline constexpr float kRoundsToZero<BFloat16> = 0x1p-134F;
template <>
inline constexpr float kRoundsToZero<Float16> = 0x1p-25F;

/// Rounded to T it is the relu of T(v).
template <class T, class F>
[[gnu::always_inline]] inline F relu(F v) {
  return v < -kRoundsToZero<T> ? F(0) : v;
}

/// y = fn(n weight + bias, element), unrounded, for all elements.
template <class T, class Fn>
void map_norm(Tensor& y, const Tensor& x, const ChannelNorm& norm, Fn fn) {
  using F = ComputeType<T>;
  const ChannelCut cut(x, norm.mean);
  const Coefficients<F> k(cut, norm);
  const T* in = x.data<T>();
  T* out = y.data<T>();
  cut.for_each_piece([=, &k](std::int64_t n, std::int64_t, std::int64_t first, std::int64_t rows) {
    const F *center = k.center + n * k.width, *scale = k.scale + n * k.width,
            *bias = k.bias + n * k.width;
    for_each_row(first, first + rows * cut.C, k.width, [=](std::int64_t i, auto columns) {
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c)
        out[i + c] = fn(math::fma(static_cast<F>(in[i + c]) - center[c], scale[c], bias[c]), i + c);
    });
  });
}

/// The sums of gradient(n weight + bias, element).
template <class T, class Fn>
void sum_gradients(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& x, const ChannelNorm& norm,
                   Fn gradient) {
  using F = ComputeType<T>;
  const ChannelCut cut(x, norm.mean);
  const std::int64_t C = cut.C;
  const Coefficients<F> k(cut, norm);
  Tensor pieces = Tensor::empty({cut.N * cut.pieces, 2, C}, dtype_of<F>());
  F* found = pieces.data<F>();
  const T* in = x.data<T>();
  cut.for_each_piece(
      [=, &k](std::int64_t n, std::int64_t p, std::int64_t first, std::int64_t rows) {
        F* to = found + 2 * (n * cut.pieces + p) * C;
        for_each_block(C, [=, &k](std::int64_t c0, auto columns) {
          const std::int64_t at = n * k.width + c0;
          const F *center = k.center + at, *rstd = k.rstd + at, *scale = k.scale + at,
                  *bias = k.bias + at;
          F sum[kColumns] = {}, sum_n[kColumns] = {};
          for (std::int64_t i = first + c0; i < first + rows * C; i += C) {
#pragma omp simd
            for (std::int64_t c = 0; c < columns; ++c) {
              const F apart = static_cast<F>(in[i + c]) - center[c];
              const F g = gradient(math::fma(apart, scale[c], bias[c]), i + c);
              sum[c] += g;
              sum_n[c] = math::fma(g, apart * rstd[c], sum_n[c]);
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
}

/// dx of gradient(n weight + bias, element).
template <class T, class Fn>
void map_backward(Tensor& dx, const Tensor& x, const ChannelNorm& norm, const Tensor& sum_dy,
                  const Tensor& sum_dyn, Fn gradient) {
  using F = ComputeType<T>;
  const ChannelCut cut(x, norm.mean);
  Coefficients<F> k(cut, norm);
  if (sum_dy.defined())
    k.vary(cut, expanded<F>(norm.weight, cut.C, 1).template data<F>(), sum_dy.data<F>(),
           sum_dyn.data<F>());
  const T* in = x.data<T>();
  T* out = dx.data<T>();
  cut.for_each_piece([=, &k](std::int64_t n, std::int64_t, std::int64_t first, std::int64_t rows) {
    const std::int64_t at = n * k.width;
    const F *center = k.center + at, *scale = k.scale + at, *bias = k.bias + at,
            *shift = k.shift + at, *slope = k.slope + at;
    for_each_row(first, first + rows * cut.C, k.width, [=](std::int64_t i, auto columns) {
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) {
        const F apart = static_cast<F>(in[i + c]) - center[c];
        const F g = gradient(math::fma(apart, scale[c], bias[c]), i + c);
        out[i + c] = math::fma(g, scale[c], math::fma(apart, slope[c], shift[c]));
      }
    });
  });
}

/// Calls fn(gradient) with what a pass makes of dy: itself, or with relu where y > 0.
template <class T, class Fn>
void visit_gradient(const Tensor& dy, bool relu, Fn fn) {
  using F = ComputeType<T>;
  const T* grad = dy.data<T>();
  if (relu)
    fn([=](F v, std::int64_t i) {
      const F g = static_cast<F>(grad[i]);
      return v > kRoundsToZero<T> ? g : F(0);
    });
  else
    fn([=](F, std::int64_t i) { return static_cast<F>(grad[i]); });
}

}  // namespace

void channel_norm_forward(Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    if (norm.relu)
      map_norm<T>(y, x, norm, [](F v, std::int64_t) { return relu<T>(v); });
    else
      map_norm<T>(y, x, norm, [](F v, std::int64_t) { return v; });
  });
}

void channel_norm_add_relu_forward(Tensor& y, const Tensor& x, const Tensor& skip,
                                   const ChannelNorm& norm) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const T* other = skip.data<T>();
    map_norm<T>(y, x, norm, [=](F v, std::int64_t i) {
      return relu<T>(rounded<T>(v) + static_cast<F>(other[i]));
    });
  });
}

void channel_norm_sums(Tensor& sum_dy, Tensor& sum_dyn, const Tensor& dy, const Tensor& x,
                       const ChannelNorm& norm) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_gradient<T>(dy, norm.relu,
                      [&](auto gradient) { sum_gradients<T>(sum_dy, sum_dyn, x, norm, gradient); });
  });
}

void channel_norm_add_relu_sums(Tensor& sum_dy, Tensor& sum_dyn, Tensor& dz, const Tensor& dy,
                                const Tensor& y, const Tensor& x, const ChannelNorm& norm) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const T *grad = dy.data<T>(), *out = y.data<T>();
    T* masked = dz.data<T>();
    sum_gradients<T>(sum_dy, sum_dyn, x, norm, [=](F, std::int64_t i) {
      const F g = Relu{}(static_cast<F>(grad[i]), static_cast<F>(out[i]));
      masked[i] = g;
      return g;
    });
  });
}

void channel_norm_backward(Tensor& dx, const Tensor& dy, const Tensor& x, const ChannelNorm& norm,
                           const Tensor& sum_dy, const Tensor& sum_dyn) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    visit_gradient<T>(dy, norm.relu, [&](auto gradient) {
      map_backward<T>(dx, x, norm, sum_dy, sum_dyn, gradient);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/elementwise.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/pointwise.h>

namespace limbeck {
namespace {

void check_output(const char* op, const Tensor& y) {
  LIMBECK_CHECK(y.defined(), op, ": y is undefined; expected an allocated tensor");
  LIMBECK_CHECK(is_floating(y.dtype()), op, ": y is ", y.dtype(), "; expected a floating dtype");
}

void check_like(const char* op, const char* name, const Tensor& x, const Tensor& y) {
  LIMBECK_CHECK(x.shape() == y.shape() && x.dtype() == y.dtype() && x.device() == y.device(), op,
                ": ", name, " is ", x.dtype(), x.shape(), " on ", x.device(), ", y ", y.dtype(),
                y.shape(), " on ", y.device(), "; expected equal ones");
}

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  check_output("add", y);
  check_like("add", "a", a, y);
  check_like("add", "b", b, y);
  LIMBECK_DISPATCH(y.device(), add(y, a, b));
}

void mul(Tensor& y, const Tensor& a, const Tensor& b) {
  check_output("mul", y);
  check_like("mul", "a", a, y);
  check_like("mul", "b", b, y);
  LIMBECK_DISPATCH(y.device(), mul(y, a, b));
}

void scale(Tensor& y, const Tensor& x, double alpha) {
  check_output("scale", y);
  check_like("scale", "x", x, y);
  LIMBECK_DISPATCH(y.device(), scale(y, x, alpha));
}

void axpy(Tensor& y, double alpha, const Tensor& x) {
  check_output("axpy", y);
  check_like("axpy", "x", x, y);
  LIMBECK_DISPATCH(y.device(), axpy(y, alpha, x));
}

void exp(Tensor& y, const Tensor& x) {
  check_output("exp", y);
  check_like("exp", "x", x, y);
  LIMBECK_DISPATCH(y.device(), exp(y, x));
}

void scale_by(Tensor& y, const Tensor& x, const Tensor& s) {
  check_output("scale_by", y);
  check_like("scale_by", "x", x, y);
  LIMBECK_CHECK(s.numel() == 1 && (s.dtype() == y.dtype() || s.dtype() == DType::f32) &&
                    s.device() == y.device(),
                "scale_by: s is ", s.dtype(), s.shape(), " on ", s.device(),
                "; expected one element of ", y.dtype(), " or f32 on ", y.device());
  LIMBECK_DISPATCH(y.device(), scale_by(y, x, s));
}

void add_bias(Tensor& y, const Tensor& bias) {
  check_output("add_bias", y);
  LIMBECK_CHECK(y.shape().rank() >= 1 && bias.shape() == Shape({y.shape()[y.shape().rank() - 1]}) &&
                    bias.dtype() == y.dtype() && bias.device() == y.device(),
                "add_bias: bias is ", bias.dtype(), bias.shape(), " on ", bias.device(), ", y ",
                y.dtype(), y.shape(), " on ", y.device(), "; expected bias like y, (C)");
  LIMBECK_DISPATCH(y.device(), add_bias(y, bias));
}

namespace cpu {
namespace {

// y_i = fn(x_i...) with the compute type as fn's last argument's type tag.
template <class Make, class... Xs>
void map_tensors(Tensor& y, Make make, const Xs&... x) {
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    map(y.numel(), make(ComputeType<T>{}), y.data<T>(), x.template data<T>()...);
  });
}

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  map_tensors(
      y, [](auto) { return [](auto p, auto q) { return p + q; }; }, a, b);
}

void mul(Tensor& y, const Tensor& a, const Tensor& b) {
  map_tensors(
      y, [](auto) { return [](auto p, auto q) { return p * q; }; }, a, b);
}

void scale(Tensor& y, const Tensor& x, double alpha) {
  map_tensors(
      y,
      [=](auto zero) {
        const auto factor = static_cast<decltype(zero)>(alpha);
        return [=](auto p) { return factor * p; };
      },
      x);
}

void axpy(Tensor& y, double alpha, const Tensor& x) {
  map_tensors(
      y,
      [=](auto zero) {
        const auto factor = static_cast<decltype(zero)>(alpha);
        return [=](auto p, auto sum) { return math::fma(factor, p, sum); };
      },
      x, y);
}

void exp(Tensor& y, const Tensor& x) {
  map_tensors(
      y, [](auto) { return [](auto p) { return math::exp(p); }; }, x);
}

void scale_by(Tensor& y, const Tensor& x, const Tensor& s) { cpu::scale(y, x, s.item()); }

void add_bias(Tensor& y, const Tensor& bias) {
  const std::int64_t channels = bias.numel();
  if (channels == 0) return;
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    T* out = y.data<T>();
    const T* b = bias.data<T>();
    const std::int64_t grain = std::max<std::int64_t>(1, 32768 / channels);
    parallel_ranges(y.numel() / channels, grain, [=](std::int64_t begin, std::int64_t end) {
      simd([=](auto) {
        for (T* row = out + begin * channels; row < out + end * channels; row += channels)
#pragma omp simd
          for (std::int64_t c = 0; c < channels; ++c)
            row[c] = static_cast<T>(static_cast<C>(row[c]) + static_cast<C>(b[c]));
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

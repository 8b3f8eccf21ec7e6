// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rotary.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {
namespace {

template <class F>
std::vector<F> table_values(std::int64_t T, std::int64_t D, const RotaryOptions& options) {
  std::vector<F> table(static_cast<std::size_t>(T * D));
  const std::int64_t half = D / 2;
  for (std::int64_t d = 0; d < half; ++d) {
    const double exponent = -2.0 * static_cast<double>(d) / static_cast<double>(D);
    const double turns_per_step = std::pow(options.theta, exponent) / 6.283185307179586;
    for (std::int64_t t = 0; t < T; ++t) {
      const double turns = static_cast<double>(options.offset + t) * turns_per_step;
      const F u = static_cast<F>(turns - std::floor(turns));
      F* row = table.data() + t * D;
      row[d] = math::cos_2pi(u);
      row[half + d] = math::sin_2pi(u);
    }
  }
  return table;
}

}  // namespace

Tensor rotary_table(std::int64_t T, std::int64_t D, const RotaryOptions& options, DType dtype,
                    Device device) {
  LIMBECK_CHECK(T >= 0 && D >= 2 && D % 2 == 0, "rotary_table: ", T, " rows of ", D,
                "; expected an even width");
  LIMBECK_CHECK(options.theta > 0 && std::isfinite(options.theta) && options.offset >= 0,
                "rotary_table: theta ", options.theta, ", offset ", options.offset,
                "; expected theta > 0 and offset >= 0");
  LIMBECK_CHECK(dtype == DType::f32 || dtype == DType::f64, "rotary_table: dtype is ", dtype,
                "; expected f32 or f64");
  return dtype == DType::f64 ? Tensor::from(table_values<double>(T, D, options), {T, D}, device)
                             : Tensor::from(table_values<float>(T, D, options), {T, D}, device);
}

void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads,
            Rotation rotation) {
  LIMBECK_CHECK(x.rank() == 4 && is_floating(x.dtype()) && x.dim(3) % 2 == 0, "rotary: x is ",
                x.dtype(), x.shape(), "; expected (N,T,H,D) of a floating dtype, D even");
  check_like("rotary", "y", y, "x", x);
  LIMBECK_CHECK(heads >= 0 && heads <= x.dim(2), "rotary: ", heads, " heads of ", x.dim(2),
                "; expected no more than there are");
  const DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Shape expected{x.dim(1), x.dim(3)};
  LIMBECK_CHECK(table.shape() == expected && table.dtype() == wide && table.device() == x.device(),
                "rotary: table is ", table.dtype(), table.shape(), " on ", table.device(),
                "; expected ", wide, expected, " on ", x.device());
  LIMBECK_DISPATCH(x.device(), rotary(y, x, table, heads, rotation));
}

namespace cpu {
namespace {

// One head, of two halves. Loads come before stores: y may be x.
template <class T, class F>
[[gnu::always_inline]] inline void turn(T* y, const T* x, const F* c, const F* s, F sign,
                                        std::int64_t half) {
#pragma omp simd
  for (std::int64_t d = 0; d < half; ++d) {
    const F a = x[d], b = x[half + d], sine = sign * s[d];
    y[d] = math::fma(c[d], a, -(sine * b));
    y[half + d] = math::fma(c[d], b, sine * a);
  }
}

}  // namespace

void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads,
            Rotation rotation) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t steps = x.dim(1), D = x.dim(3), half = D / 2, row = x.dim(2) * D;
    const F sign = rotation == Rotation::forward ? F(1) : F(-1);
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const F* angles = table.data<F>();
    parallel_ranges(x.dim(0) * steps, 32768 / (row + 1) + 1,
                    [&](std::int64_t begin, std::int64_t end) {
                      simd([&](auto) {
                        for (std::int64_t i = begin; i < end; ++i) {
                          const F* c = angles + i % steps * D;
                          for (std::int64_t at = i * row; at < i * row + heads * D; at += D)
                            turn(out + at, in + at, c, c + half, sign, half);
                          if (out != in)
                            for (std::int64_t at = i * row + heads * D; at < (i + 1) * row; ++at)
                              out[at] = in[at];
                        }
                      });
                    });
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dense_projection.h>

#include <cmath>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/projection_epilogue.h>

namespace limbeck {
namespace {

DType sum_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_tensor(const char* op, const char* what, const Tensor& t, const Shape& shape,
                  DType dtype, const Tensor& w) {
  LIMBECK_CHECK(t.defined(), op, ": ", what, " is undefined; expected ", dtype, shape);
  LIMBECK_CHECK(t.shape() == shape && t.dtype() == dtype && t.device() == w.device(), op, ": ",
                what, " is ", t.dtype(), t.shape(), " on ", t.device(), ", w ", w.dtype(),
                w.shape(), " on ", w.device(), "; expected ", dtype, shape, " on ", w.device());
}

void check_projection(const char* op, const DenseProjection& p) {
  LIMBECK_CHECK(p.w.defined() && p.w.rank() == 2 && p.w.numel() > 0, op, ": w has shape ",
                p.w.defined() ? p.w.shape() : Shape{}, "; expected (K,D) with K, D >= 1");
  LIMBECK_CHECK(is_floating(p.w.dtype()), op, ": w is ", p.w.dtype(),
                "; expected a floating dtype");
  if (p.epilogue != ProjectionEpilogue::standardise) return;
  check_tensor(op, "mean", p.mean, {p.w.dim(0)}, sum_dtype(p.w.dtype()), p.w);
  check_tensor(op, "inv_std", p.inv_std, {p.w.dim(0)}, sum_dtype(p.w.dtype()), p.w);
}

std::int64_t rows_of(const Tensor& t) { return t.defined() && t.rank() > 0 ? t.dim(0) : 0; }

std::int64_t out_columns(const DenseProjection& p) {
  return p.epilogue == ProjectionEpilogue::cos_sin ? 2 * p.w.dim(0) : p.w.dim(0);
}

void apply(Tensor& y, const Tensor& z, const DenseProjection& p) {
  LIMBECK_DISPATCH(z.device(), apply_epilogue(y, z, p));
}

void apply_backward(Tensor& dz, const Tensor& dy, const Tensor& saved, const DenseProjection& p) {
  LIMBECK_DISPATCH(dy.device(), apply_epilogue_backward(dz, dy, saved, p));
}

// Row k from the stream {seed, k, layer, random_features}.
template <class Draw>
Tensor draw_frequencies(std::uint64_t seed, std::uint32_t layer, const Shape& shape, double sigma,
                        DType dtype, Device device, const Draw& draw) {
  LIMBECK_CHECK(shape.rank() == 2, "frequencies: shape is ", shape, "; expected (K,D)");
  LIMBECK_CHECK(sigma > 0, "frequencies: sigma is ", sigma, "; expected > 0");
  std::vector<double> w;
  w.reserve(static_cast<std::size_t>(shape.numel()));
  for (std::int64_t k = 0; k < shape[0]; ++k)
    for (std::int64_t d = 0; d < shape[1]; ++d)
      w.push_back(
          draw(RngStream{seed, static_cast<std::uint32_t>(k), layer, RngPurpose::random_features},
               static_cast<std::uint64_t>(d)) /
          (6.283185307179586 * sigma));
  return Tensor::from(w, shape).to(dtype).to(device);
}

}  // namespace

void dense_projection_forward(Tensor& y, Tensor* z, const Tensor& x, const DenseProjection& p) {
  const char* op = "dense_projection_forward";
  check_projection(op, p);
  const std::int64_t N = rows_of(x), K = p.w.dim(0);
  check_tensor(op, "x", x, {N, p.w.dim(1)}, p.w.dtype(), p.w);
  check_tensor(op, "y", y, {N, out_columns(p)}, p.w.dtype(), p.w);
  const DType wide = sum_dtype(x.dtype());
  if (z != nullptr) check_tensor(op, "z", *z, {N, K}, wide, p.w);
  if (z == nullptr && p.epilogue == ProjectionEpilogue::none)
    return matmul(y, x, Trans::no, p.w, Trans::yes);
  const bool in_place = y.dtype() == wide && p.epilogue != ProjectionEpilogue::cos_sin;
  Tensor product = z != nullptr ? *z : in_place ? y : Tensor::empty({N, K}, wide, x.device());
  matmul(product, x, Trans::no, p.w, Trans::yes);
  apply(y, product, p);
}

void dense_projection_backward(Tensor& dx, const Tensor& dy, const Tensor& saved,
                               const DenseProjection& p) {
  const char* op = "dense_projection_backward";
  check_projection(op, p);
  const std::int64_t N = rows_of(dy), K = p.w.dim(0);
  const DType dtype = p.w.dtype();
  check_tensor(op, "dy", dy, {N, out_columns(p)}, dtype, p.w);
  check_tensor(op, "dx", dx, {N, p.w.dim(1)}, dtype, p.w);
  if (p.epilogue == ProjectionEpilogue::none) return matmul(dx, dy, Trans::no, p.w, Trans::no);
  if (p.epilogue == ProjectionEpilogue::cos_sin)
    check_tensor(op, "saved", saved, {N, 2 * K}, dtype, p.w);
  if (p.epilogue == ProjectionEpilogue::square)
    check_tensor(op, "saved", saved, {N, K}, sum_dtype(dtype), p.w);
  Tensor dz = Tensor::empty({N, K}, dtype, dy.device());
  apply_backward(dz, dy, saved, p);
  matmul(dx, dz, Trans::no, p.w, Trans::no);
}

Tensor gaussian_frequencies(std::uint64_t seed, std::uint32_t layer, const Shape& shape,
                            double sigma, DType dtype, Device device) {
  return draw_frequencies(
      seed, layer, shape, sigma, dtype, device, [](const RngStream& stream, std::uint64_t d) {
        const float u = 1.0f - uniform_from_word(philox_word(stream, d & ~1ull));
        const float turn = uniform_from_word(philox_word(stream, d | 1));
        const float radius = math::sqrt(-2.0f * math::log(u));
        return radius * ((d & 1) ? math::sin_2pi(turn) : math::cos_2pi(turn));
      });
}

Tensor cauchy_frequencies(std::uint64_t seed, std::uint32_t layer, const Shape& shape, double sigma,
                          DType dtype, Device device) {
  return draw_frequencies(seed, layer, shape, sigma, dtype, device,
                          [](const RngStream& stream, std::uint64_t d) {
                            // tan(pi (u - 1/2)) for u in the middle of one of 2^23 pieces of [0,1).
                            const auto piece = static_cast<float>(philox_word(stream, d) >> 9);
                            const float half_turn = (piece + 0.5f) * 0x1p-24f;
                            return -math::cos_2pi(half_turn) / math::sin_2pi(half_turn);
                          });
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task

// Calls body(n) for every row, in parallel and inside simd().
template <class Body>
void for_each_row(std::int64_t N, std::int64_t columns, Body body) {
  parallel_ranges(N, kPiece / columns + 1, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
      for (std::int64_t n = begin; n < end; ++n) body(n);
    });
  });
}

template <class T, class Fn>
[[gnu::always_inline]] inline void fill_row(T* y, std::int64_t K, Fn fn) {
#pragma omp simd
  for (std::int64_t k = 0; k < K; ++k) y[k] = fn(k);
}

template <class T, class F>
[[gnu::always_inline]] inline void epilogue_row(ProjectionEpilogue epilogue, T* y, const F* z,
                                                std::int64_t K, const F* mean, const F* inv_std) {
  using Index = std::int64_t;
  switch (epilogue) {
    case ProjectionEpilogue::none:
      return fill_row(y, K, [=](Index k) { return z[k]; });
    case ProjectionEpilogue::standardise:
      return fill_row(y, K, [=](Index k) { return (z[k] - mean[k]) * inv_std[k]; });
    case ProjectionEpilogue::square:
      return fill_row(y, K, [=](Index k) { return z[k] * z[k]; });
    case ProjectionEpilogue::cos_sin:
      const F scale = static_cast<F>(1 / std::sqrt(static_cast<double>(K)));
#pragma omp simd
      for (Index k = 0; k < K; ++k) {
        const F turn = fraction_of_turn(z[k]);
        y[k] = math::cos_2pi(turn) * scale;
        y[K + k] = math::sin_2pi(turn) * scale;
      }
  }
}

}  // namespace

void apply_epilogue(Tensor& y, const Tensor& z, const DenseProjection& p) {
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t N = z.dim(0), K = z.dim(1), columns = y.dim(1);
    T* out = y.data<T>();
    const F *in = z.data<F>(), *mean = data_or_null<F>(p.mean),
            *inv_std = data_or_null<F>(p.inv_std);
    for_each_row(N, columns, [=, epilogue = p.epilogue](std::int64_t n) {
      epilogue_row(epilogue, out + n * columns, in + n * K, K, mean, inv_std);
    });
  });
}

void apply_epilogue_backward(Tensor& dz, const Tensor& dy, const Tensor& saved,
                             const DenseProjection& p) {
  visit_floating(dz.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t N = dz.dim(0), K = dz.dim(1);
    T* out = dz.data<T>();
    const T* in = dy.data<T>();
    if (p.epilogue == ProjectionEpilogue::standardise) {
      const F* inv_std = p.inv_std.data<F>();
      for_each_row(N, K, [=](std::int64_t n) {
#pragma omp simd
        for (std::int64_t k = 0; k < K; ++k)
          out[n * K + k] = static_cast<F>(in[n * K + k]) * inv_std[k];
      });
    } else if (p.epilogue == ProjectionEpilogue::square) {
      const F* z = saved.data<F>();
      for_each_row(N, K, [=](std::int64_t n) {
#pragma omp simd
        for (std::int64_t k = 0; k < K; ++k)
          out[n * K + k] = 2 * z[n * K + k] * static_cast<F>(in[n * K + k]);
      });
    } else {
      const T* y = saved.data<T>();
      for_each_row(N, K, [=](std::int64_t n) {
        const T *cosine = y + n * 2 * K, *dcosine = in + n * 2 * K;
#pragma omp simd
        for (std::int64_t k = 0; k < K; ++k)
          out[n * K + k] =
              cos_sin_backward<F>(cosine[k], cosine[K + k], dcosine[k], dcosine[K + k]);
      });
    }
  });
}

}  // namespace cpu
}  // namespace limbeck

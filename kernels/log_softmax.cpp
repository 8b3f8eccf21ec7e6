// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/log_softmax.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_softmax.h>

namespace limbeck {
void log_softmax_forward(Tensor& y, const Tensor& x, double tau) {
  check_rows("log_softmax_forward", "x", x);
  check_like("log_softmax_forward", "y", y, "x", x);
  check_tau("log_softmax_forward", tau);
  LIMBECK_DISPATCH(x.device(), log_softmax_forward(y, x, tau));
}

void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
  check_rows("log_softmax_backward", "y", y);
  check_like("log_softmax_backward", "dy", dy, "y", y);
  check_like("log_softmax_backward", "dx", dx, "y", y);
  check_tau("log_softmax_backward", tau);
  LIMBECK_DISPATCH(y.device(), log_softmax_backward(dx, dy, y, tau));
}

namespace cpu {
namespace {

template <class F, class Tile, class T>
void forward_tile(const Tile& tile, F* staged, T* out, const T* in, F inv_tau) {
  const TileInput x(tile, in, staged, -std::numeric_limits<F>::infinity());
  RowSoftmax<F> r;
  row_softmax<Keep::no, AddIn::own>(tile, x, inv_tau, r, staged);
  F log_sum[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) log_sum[lane] = math::log(static_cast<F>(r.sum[lane]));
  const TileOutput y(tile, out, staged);
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F* from = x.block(begin, end);
    F* to = y.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        to[i + lane] = math::fma(from[i + lane] - r.max[lane], inv_tau, -log_sum[lane]);
    }
  });
  y.finish();
}

template <class F, class Tile, class T>
void backward_tile(const Tile& tile, F* staged, T* out, const T* dy_in, const T* y_in, F inv_tau) {
  const TileInput dy(tile, dy_in, staged, F(0)), y(tile, y_in, staged + tile.size(), F(0));
  LaneSum<F> sum;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F* in_dy = dy.block(begin, end);
    F block[kLanes] = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) block[lane] += in_dy[i + lane];
    }
    sum.add(block);
  });
  tile.sum_lanes(sum.total);
  const TileOutput dx(tile, out, staged);
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *in_dy = dy.block(begin, end), *in_y = y.block(begin, end);
    F* to = dx.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        to[i + lane] =
            math::fma(-math::exp(in_y[i + lane]), sum.total[lane], in_dy[i + lane]) * inv_tau;
    }
    dy.prefetch_next(begin, end);
    y.prefetch_next(begin, end);
  });
  dx.finish();
}

}  // namespace

void log_softmax_forward(Tensor& y, const Tensor& x, double tau) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const std::int64_t N = x.dim(0), V = x.dim(1);
    const F inv_tau = static_cast<F>(1 / tau);
    for_each_row_tile<F>(N, V, 1, [&](const auto& tile, std::int64_t n, F* buffer) {
      forward_tile(tile, buffer, out + n * V, in + n * V, inv_tau);
    });
  });
}

void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    T* out = dx.data<T>();
    const T* dy_in = dy.data<T>();
    const T* y_in = y.data<T>();
    const std::int64_t N = y.dim(0), V = y.dim(1);
    const F inv_tau = static_cast<F>(1 / tau);
    for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
      backward_tile(tile, buffer, out + n * V, dy_in + n * V, y_in + n * V, inv_tau);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

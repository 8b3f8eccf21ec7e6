// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/log_softmax.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck {
namespace {

void check_like(const char* op, const char* what, const Tensor& t, const char* which,
                const Tensor& x) {
  LIMBECK_CHECK(t.shape() == x.shape() && t.dtype() == x.dtype() && t.device() == x.device(), op,
                ": ", what, " is ", t.dtype(), t.shape(), " on ", t.device(), ", ", which, " ",
                x.dtype(), x.shape(), " on ", x.device(), "; expected equal ones");
}

void check_matrix(const char* op, const char* what, const Tensor& x) {
  LIMBECK_CHECK(x.rank() == 2 && x.dim(1) >= 1, op, ": ", what, " has shape ", x.shape(),
                "; expected (N,V) with V >= 1");
  LIMBECK_CHECK(is_floating(x.dtype()), op, ": ", what, " is ", x.dtype(),
                "; expected a floating dtype");
}

}  // namespace

void log_softmax_forward(Tensor& y, const Tensor& x) {
  check_matrix("log_softmax_forward", "x", x);
  check_like("log_softmax_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), log_softmax_forward(y, x));
}

void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  check_matrix("log_softmax_backward", "y", y);
  check_like("log_softmax_backward", "dy", dy, "y", y);
  check_like("log_softmax_backward", "dx", dx, "y", y);
  LIMBECK_DISPATCH(y.device(), log_softmax_backward(dx, dy, y));
}

namespace cpu {
namespace {

template <class F, class Tile, class T>
void forward_tile(const Tile& tile, F* x, T* out, const T* in) {
  F max[kLanes], sum[kLanes];
  tile.load(x, in);
  tile.max(max, x);
  tile.exp_and_sum(x + tile.size(), sum, x, max);
  for (int lane = 0; lane < kLanes; ++lane) sum[lane] = math::log(sum[lane]);
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) x[i + lane] = (x[i + lane] - max[lane]) - sum[lane];
  }
  tile.store(out, x);
}

template <class F, class Tile, class T>
void backward_tile(const Tile& tile, F* dy, T* out, const T* dy_in, const T* y_in) {
  F* y = dy + tile.size();
  F sum[kLanes];
  tile.load(dy, dy_in, F(0));
  tile.load(y, y_in);
  tile.sum(sum, dy);
  for (std::int64_t i = 0; i < tile.size(); i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane)
      dy[i + lane] = math::fma(-math::exp(y[i + lane]), sum[lane], dy[i + lane]);
  }
  tile.store(out, dy);
}

}  // namespace

void log_softmax_forward(Tensor& y, const Tensor& x) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const std::int64_t N = x.dim(0), V = x.dim(1);
    for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
      forward_tile(tile, buffer, out + n * V, in + n * V);
    });
  });
}

void log_softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y) {
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    T* out = dx.data<T>();
    const T* dy_in = dy.data<T>();
    const T* y_in = y.data<T>();
    const std::int64_t N = y.dim(0), V = y.dim(1);
    for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
      backward_tile(tile, buffer, out + n * V, dy_in + n * V, y_in + n * V);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

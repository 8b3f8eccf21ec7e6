// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/softmax.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_softmax.h>

namespace limbeck {

void softmax_forward(Tensor& y, const Tensor& x, double tau) {
  check_rows("softmax_forward", "x", x);
  check_like("softmax_forward", "y", y, "x", x);
  check_tau("softmax_forward", tau);
  LIMBECK_DISPATCH(x.device(), softmax_forward(y, x, tau));
}

void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
  check_rows("softmax_backward", "y", y);
  check_like("softmax_backward", "dy", dy, "y", y);
  check_like("softmax_backward", "dx", dx, "y", y);
  check_tau("softmax_backward", tau);
  LIMBECK_DISPATCH(y.device(), softmax_backward(dx, dy, y, tau));
}

namespace cpu {
namespace {

template <class F, class Tile, class T>
void forward_tile(const Tile& tile, F* staged, T* out, const T* in, F inv_tau) {
  F* e = staged + tile.size();
  const TileInput x(tile, in, staged, -std::numeric_limits<F>::infinity());
  RowSoftmax<F> r;
  row_softmax<Keep::yes, AddIn::own>(tile, x, inv_tau, r, e);
  F inv_sum[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) inv_sum[lane] = static_cast<F>(1 / r.sum[lane]);
  const TileOutput y(tile, out, e);
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    F* to = y.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) to[i + lane] = e[begin + i + lane] * inv_sum[lane];
    }
  });
  y.finish();
}

// out = dy of each row's most probable class.
template <class F, class Tile, class Input>
void find_center(F (&out)[kLanes], const Tile& tile, const Input& dy, const Input& y) {
  constexpr int kRowLanes = Tile::kRows == 1 ? 1 : kLanes;
  F top[kWideLanes], at[kWideLanes] = {};
  for (int lane = 0; lane < kWideLanes; ++lane) top[lane] = -1;
  for_each_wide(tile, [&](std::int64_t begin, std::int64_t end) {
    return [&top, &at, in_dy = dy.block(begin, end), in_y = y.block(begin, end)](int lane,
                                                                                 std::int64_t i) {
      const bool more = in_y[i] > top[lane];
      top[lane] = more ? in_y[i] : top[lane];
      at[lane] = more ? in_dy[i] : at[lane];
    };
  });
  for (int lane = kRowLanes; lane < kWideLanes; ++lane) {
    const int row = lane % kRowLanes;
    at[row] = top[lane] > top[row] ? at[lane] : at[row];
    top[row] = top[lane] > top[row] ? top[lane] : top[row];
  }
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = at[lane % kRowLanes];
}

template <class F, class Tile, class T>
void backward_tile(const Tile& tile, F* staged, T* out, const T* dy_in, const T* y_in, F inv_tau) {
  const TileInput dy(tile, dy_in, staged, F(0)), y(tile, y_in, staged + tile.size(), F(0));
  F center[kLanes];
  find_center(center, tile, dy, y);
  LaneSum<F> dot;
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *in_dy = dy.block(begin, end), *in_y = y.block(begin, end);
    F block[kLanes] = {};
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        block[lane] = math::fma(in_y[i + lane], in_dy[i + lane] - center[lane], block[lane]);
    }
    dy.prefetch_next(begin, end);
    y.prefetch_next(begin, end);
    dot.add(block);
  });
  tile.sum_lanes(dot.total);
  const TileOutput dx(tile, out, staged);
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    const F *in_dy = dy.block(begin, end), *in_y = y.block(begin, end);
    F* to = dx.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        to[i + lane] =
            in_y[i + lane] * (((in_dy[i + lane] - center[lane]) - dot.total[lane]) * inv_tau);
    }
  });
  dx.finish();
}

}  // namespace

void softmax_forward(Tensor& y, const Tensor& x, double tau) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    const std::int64_t N = x.dim(0), V = x.dim(1);
    const F inv_tau = static_cast<F>(1 / tau);
    for_each_row_tile<F>(N, V, 2, [&](const auto& tile, std::int64_t n, F* buffer) {
      forward_tile(tile, buffer, out + n * V, in + n * V, inv_tau);
    });
  });
}

void softmax_backward(Tensor& dx, const Tensor& dy, const Tensor& y, double tau) {
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

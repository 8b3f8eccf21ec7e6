// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rademacher_projection.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/sign_block.h>

namespace limbeck {
namespace {

void check_projection(const char* op, const char* out_name, const Tensor& out, const char* in_name,
                      const Tensor& in) {
  LIMBECK_CHECK(is_floating(in.dtype()), op, ": ", in_name, " is ", in.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(in.rank() == 2 && out.rank() == 2 && in.dim(0) == out.dim(0) && in.dim(1) >= 1 &&
                    out.dim(1) >= 1 && out.dtype() == in.dtype() && out.device() == in.device(),
                op, ": ", out_name, " is ", out.dtype(), out.shape(), " on ", out.device(), ", ",
                in_name, " ", in.dtype(), in.shape(), " on ", in.device(),
                "; expected matrices of equally many rows, with columns, of one dtype and device");
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  check_projection("rademacher_projection_forward", "y", y, "x", x);
  LIMBECK_DISPATCH(x.device(), rademacher_projection_forward(y, x, matrix));
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  check_projection("rademacher_projection_backward", "dx", dx, "dy", dy);
  LIMBECK_DISPATCH(dy.device(), rademacher_projection_backward(dx, dy, matrix));
}

namespace cpu {
namespace {

// out (N,C) = scale * in (N,D) * signs; kForward: the signs are Phi^T, else Phi.
template <bool kForward, class T>
void sign_product(Tensor& out, const Tensor& in, const RademacherMatrix& matrix, double scale) {
  using F = ComputeType<T>;
  using Block = SignBlock<F>;
  const std::int64_t N = in.dim(0), D = in.dim(1), C = out.dim(1);
  const std::int64_t col_blocks = (C + Block::kCols - 1) / Block::kCols;
  const F factor = static_cast<F>(scale);
  T* y = out.data<T>();
  const T* x = in.data<T>();
  parallel_for((N + Block::kRows - 1) / Block::kRows * col_blocks, [&](std::int64_t task) {
    const std::int64_t n0 = task / col_blocks * Block::kRows, j0 = task % col_blocks * Block::kCols;
    const std::int64_t rows = std::min(Block::kRows, N - n0), cols = std::min(Block::kCols, C - j0);
    Block block;
    simd([&](auto lanes) {
      block.template run<kForward, lanes.value>(x + n0 * D, rows, D, matrix, j0, cols);
      for (std::int64_t n = 0; n < rows; ++n) {
        const F* sums = block.row(n);
#pragma omp simd
        for (std::int64_t j = 0; j < cols; ++j) y[(n0 + n) * C + j0 + j] = sums[j] * factor;
      }
    });
  });
}

}  // namespace

void rademacher_projection_forward(Tensor& y, const Tensor& x, const RademacherMatrix& matrix) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    sign_product<true, T>(y, x, matrix, 1 / std::sqrt(static_cast<double>(y.dim(1))));
  });
}

void rademacher_projection_backward(Tensor& dx, const Tensor& dy, const RademacherMatrix& matrix) {
  visit_floating(dy.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    sign_product<false, T>(dx, dy, matrix, 1 / std::sqrt(static_cast<double>(dy.dim(1))));
  });
}

}  // namespace cpu
}  // namespace limbeck

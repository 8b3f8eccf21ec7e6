// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/token_pool.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {
namespace {

// x is x or dx, y is y or dy.
void check(const char* op, const Tensor& x, const Tensor& y, const Tensor& lengths) {
  LIMBECK_CHECK(x.defined() && y.defined(), op, ": a tensor is undefined");
  LIMBECK_CHECK(x.rank() == 3 && x.dim(1) >= 1 && is_floating(x.dtype()), op, ": the tokens are ",
                x.dtype(), x.shape(), "; expected a floating (N,T,D) with T >= 1");
  LIMBECK_CHECK(y.shape() == Shape({x.dim(0), x.dim(2)}) && y.dtype() == x.dtype() &&
                    y.device() == x.device(),
                op, ": the pooled are ", y.dtype(), y.shape(), " on ", y.device(), ", the tokens ",
                x.dtype(), x.shape(), " on ", x.device(), "; expected (N,D) of the same");
  if (!lengths.defined()) return;
  LIMBECK_CHECK(lengths.dtype() == DType::i32 && lengths.shape() == Shape({x.dim(0)}) &&
                    lengths.device() == x.device(),
                op, ": lengths is ", lengths.dtype(), lengths.shape(), " on ", lengths.device(),
                "; expected i32(", x.dim(0), ") on ", x.device());
  if (x.device().is_cuda()) return;
  const std::int32_t* length = lengths.data<std::int32_t>();
  for (std::int64_t n = 0; n < x.dim(0); ++n)
    LIMBECK_CHECK(1 <= length[n] && length[n] <= x.dim(1), op, ": length ", n, " is ", length[n],
                  "; expected 1 to ", x.dim(1));
}

}  // namespace

void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool) {
  check("token_pool_forward", x, y, lengths);
  LIMBECK_DISPATCH(x.device(), token_pool_forward(y, x, lengths, pool));
}

void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool) {
  check("token_pool_backward", dx, dy, lengths);
  LIMBECK_DISPATCH(dx.device(), token_pool_backward(dx, dy, lengths, pool));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task, about
constexpr std::int64_t kColumns = 64;   // columns summed at once

// The tokens [begin, end) of a sequence that are pooled.
struct Range {
  std::int64_t begin, end;
};

Range pooled(const std::int32_t* lengths, std::int64_t n, std::int64_t T, TokenPool pool) {
  const std::int64_t length = lengths ? lengths[n] : T;
  if (pool == TokenPool::first) return {0, 1};
  return {pool == TokenPool::last ? length - 1 : 0, length};
}

template <class T>
void mean_of(T* y, const T* x, Range range, std::int64_t D) {
  using F = ComputeType<T>;
  const F count = static_cast<F>(range.end - range.begin);
  for (std::int64_t c = 0; c < D; c += kColumns) {
    const std::int64_t columns = std::min(kColumns, D - c);
    F sum[kColumns] = {};
    for (std::int64_t t = range.begin; t < range.end; ++t) {
      const T* row = x + t * D + c;
#pragma omp simd
      for (std::int64_t j = 0; j < columns; ++j) sum[j] += static_cast<F>(row[j]);
    }
    for (std::int64_t j = 0; j < columns; ++j) y[c + j] = T(sum[j] / count);
  }
}

template <class T>
void spread(T* dx, const T* dy, Range range, std::int64_t tokens, std::int64_t D) {
  using F = ComputeType<T>;
  const F count = static_cast<F>(range.end - range.begin);
  for (std::int64_t t = 0; t < tokens; ++t) {
    T* row = dx + t * D;
    if (t < range.begin || t >= range.end) {
      for (std::int64_t c = 0; c < D; ++c) row[c] = T(0);
      continue;
    }
#pragma omp simd
    for (std::int64_t c = 0; c < D; ++c) row[c] = T(static_cast<F>(dy[c]) / count);
  }
}

// Calls body(n) inside simd() for all sequences of `size` elements, in parallel.
template <class Body>
void for_each_sequence(std::int64_t N, std::int64_t size, Body body) {
  parallel_ranges(N, kPiece / std::max<std::int64_t>(size, 1) + 1,
                  [=](std::int64_t begin, std::int64_t end) {
                    simd([=](auto) {
                      for (std::int64_t n = begin; n < end; ++n) body(n);
                    });
                  });
}

const std::int32_t* data_or_null(const Tensor& lengths) {
  return lengths.defined() ? lengths.data<std::int32_t>() : nullptr;
}

}  // namespace

void token_pool_forward(Tensor& y, const Tensor& x, const Tensor& lengths, TokenPool pool) {
  const std::int64_t N = x.dim(0), tokens = x.dim(1), D = x.dim(2);
  const std::int32_t* length = data_or_null(lengths);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    for_each_sequence(N, tokens * D, [=](std::int64_t n) {
      mean_of(out + n * D, in + n * tokens * D, pooled(length, n, tokens, pool), D);
    });
  });
}

void token_pool_backward(Tensor& dx, const Tensor& dy, const Tensor& lengths, TokenPool pool) {
  const std::int64_t N = dx.dim(0), tokens = dx.dim(1), D = dx.dim(2);
  const std::int32_t* length = data_or_null(lengths);
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    for_each_sequence(N, tokens * D, [=](std::int64_t n) {
      spread(out + n * tokens * D, in + n * D, pooled(length, n, tokens, pool), tokens, D);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

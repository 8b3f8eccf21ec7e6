// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/reduce.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/sum_of.h>

namespace limbeck {
namespace {

DType sum_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_input(const char* op, const Tensor& x) {
  LIMBECK_CHECK(x.defined(), op, ": x is undefined; expected an allocated tensor");
  LIMBECK_CHECK(is_floating(x.dtype()), op, ": x is ", x.dtype(), "; expected a floating dtype");
}

void check_device(const char* op, const char* name, const Tensor& s, const Tensor& x) {
  LIMBECK_CHECK(s.device() == x.device(), op, ": ", name, " on ", s.device(), ", x on ", x.device(),
                "; expected one device");
}

}  // namespace

void sum(Tensor& s, const Tensor& x) {
  check_input("sum", x);
  LIMBECK_CHECK(s.numel() == 1 && s.dtype() == sum_dtype(x.dtype()), "sum: s is ", s.dtype(),
                s.shape(), "; expected one ", sum_dtype(x.dtype()));
  check_device("sum", "s", s, x);
  LIMBECK_DISPATCH(x.device(), sum(s, x));
}

void sum_rows(Tensor& s, const Tensor& x, Out out) {
  check_input("sum_rows", x);
  LIMBECK_CHECK(x.rank() == 2, "sum_rows: x has shape ", x.shape(), "; expected (N,C)");
  LIMBECK_CHECK(s.shape() == Shape({x.dim(1)}) &&
                    (s.dtype() == x.dtype() || s.dtype() == sum_dtype(x.dtype()) ||
                     (x.dtype() == DType::f32 && dtype_size(s.dtype()) == 2)),
                "sum_rows: s is ", s.dtype(), s.shape(), ", x ", x.dtype(), x.shape(),
                "; expected (", x.dim(1), ") of x's dtype or f32");
  check_device("sum_rows", "s", s, x);
  LIMBECK_DISPATCH(x.device(), sum_rows(s, x, out));
}

void all_finite(Tensor& flag, const Tensor& x) {
  check_input("all_finite", x);
  LIMBECK_CHECK(flag.numel() == 1 && flag.dtype() == DType::i32, "all_finite: flag is ",
                flag.dtype(), flag.shape(), "; expected one i32");
  check_device("all_finite", "flag", flag, x);
  LIMBECK_DISPATCH(x.device(), all_finite(flag, x));
}

namespace cpu {
namespace {

constexpr std::int64_t kColumns = 256;  // that sum_rows takes at a time
constexpr std::int64_t kTask = 32768;   // elements: fewer are not worth a task of their own

// One chain per column of a piece of columns.
template <class F, class S, class T>
void sum_columns(S* s, const T* x, std::int64_t N, std::int64_t C, std::int64_t begin,
                 std::int64_t end, Out out) {
  F chain[kColumns] = {};
  const std::int64_t columns = end - begin;
  for (std::int64_t c = 0; out == Out::add && c < columns; ++c)
    chain[c] = static_cast<F>(s[begin + c]);
  for (std::int64_t n = 0; n < N; ++n) {
    const T* row = x + n * C + begin;
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) chain[c] += static_cast<F>(row[c]);
  }
  for (std::int64_t c = 0; c < columns; ++c) s[begin + c] = chain[c];
}

template <class S, class T>
void sum_rows_into(Tensor& s, const Tensor& x, Out out) {
  const std::int64_t N = x.dim(0), C = x.dim(1);
  S* sums = s.data<S>();
  const T* values = x.data<T>();
  const std::int64_t strips = 1 + kTask / (N * kColumns + 1);
  parallel_ranges(C, strips * kColumns, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
      for (std::int64_t c = begin; c < end; c += kColumns)
        sum_columns<ComputeType<S>>(sums, values, N, C, c, std::min(c + kColumns, end), out);
    });
  });
}

}  // namespace

void sum(Tensor& s, const Tensor& x) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    *s.data<ComputeType<T>>() = sum_of<T>(x, [](auto v) { return v; });
  });
}

void sum_rows(Tensor& s, const Tensor& x, Out out) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (s.dtype() == x.dtype())
      sum_rows_into<T, T>(s, x, out);
    else if (s.dtype() == DType::bf16)
      sum_rows_into<BFloat16, T>(s, x, out);
    else if (s.dtype() == DType::f16)
      sum_rows_into<Float16, T>(s, x, out);
    else
      sum_rows_into<ComputeType<T>, T>(s, x, out);
  });
}

void all_finite(Tensor& flag, const Tensor& x) {
  visit_floating(x.dtype(), [&](auto tag) {
    // 0 * v is 0 for a finite v and NaN otherwise, and NaN survives every sum.
    const auto zero = sum_of<typename decltype(tag)::type>(x, [](auto v) { return v * 0; });
    *flag.data<std::int32_t>() = zero == 0;
  });
}

}  // namespace cpu
}  // namespace limbeck

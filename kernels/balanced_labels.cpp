// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/balanced_labels.h>

#include <algorithm>
#include <limits>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/kernels/each_row.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {

void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options, const Tensor& counted) {
  const char* op = "balanced_labels";
  LIMBECK_CHECK(labels.defined() && offsets.defined() && student.defined() && weak.defined(), op,
                ": labels, offsets, student or weak is undefined");
  check_rows(op, "student", student);
  check_like(op, "weak", weak, "student", student);
  const std::int64_t N = student.dim(0), V = student.dim(1);
  LIMBECK_CHECK(N >= 1, op, ": student has shape ", student.shape(), "; expected (N,V), N >= 1");
  const DType full = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  LIMBECK_CHECK(labels.dtype() == DType::i32 && labels.shape() == Shape{N}, op, ": labels is ",
                labels.dtype(), labels.shape(), "; expected i32(", N, ")");
  LIMBECK_CHECK(offsets.dtype() == full && offsets.shape() == Shape{V}, op, ": offsets is ",
                offsets.dtype(), offsets.shape(), "; expected ", full, "(", V, ")");
  LIMBECK_CHECK(
      !counted.defined() || (counted.dtype() == DType::i32 && counted.shape() == Shape{N}), op,
      ": counted is ", counted.dtype(), counted.shape(), "; expected i32(", N, ")");
  const Tensor* tensors[] = {&labels, &offsets, &counted};
  for (const Tensor* t : tensors)
    LIMBECK_CHECK(!t->defined() || t->device() == student.device(), op, ": a tensor is on ",
                  t->device(), ", student on ", student.device(), "; expected one device");
  LIMBECK_CHECK(options.iterations >= 0, op, ": iterations is ", options.iterations,
                "; expected >= 0");
  LIMBECK_CHECK(options.threshold >= 0 && options.threshold <= 1, op, ": threshold is ",
                options.threshold, "; expected 0 to 1");
  LIMBECK_DISPATCH(student.device(),
                   balanced_labels(labels, offsets, student, weak, options, counted));
}

namespace cpu {
namespace {

constexpr int kWays = 16;
template <class F>
constexpr F kInf = std::numeric_limits<F>::infinity();

/// Logits, the offsets added to each row, and which rows count (null: all).
template <class T>
struct Rows {
  const T* z;
  const ComputeType<T>* offset;  // (V) or null
  const std::int32_t* counted;
  std::int64_t N, V;

  ComputeType<T> at(std::int64_t n, std::int64_t v) const {
    const ComputeType<T> x = static_cast<ComputeType<T>>(z[n * V + v]);
    return offset ? x + offset[v] : x;
  }
  bool counts(std::int64_t n) const { return !counted || counted[n] != kIgnoreIndex; }
};

/// log sum_v exp(x_v) of one row; sums of 16 columns apart, then in their order.
template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline F log_sum_row(const Rows<T>& rows, std::int64_t n, F max) {
  F sum[kWays] = {};
  std::int64_t v = 0;
  for (; v + kWays <= rows.V; v += kWays)
    for (int j = 0; j < kWays; ++j) sum[j] += math::exp(rows.at(n, v + j) - max);
  for (int j = 0; v < rows.V; ++v, ++j) sum[j] += math::exp(rows.at(n, v) - max);
  F total = 0;
  for (int j = 0; j < kWays; ++j) total += sum[j];
  return max + math::log(total);
}

/// The first column of the largest element; a NaN is never larger.
template <class T>
[[gnu::always_inline]] inline std::int64_t argmax_row(const Rows<T>& rows, std::int64_t n) {
  std::int64_t best = 0;
  for (std::int64_t v = 1; v < rows.V; ++v)
    if (rows.at(n, v) > rows.at(n, best)) best = v;
  return best;
}

template <class T, class F = ComputeType<T>>
void row_sums(F* lse, const Rows<T>& rows) {
  for_each_row(rows.N, rows.V, [&](std::int64_t n) {
    lse[n] = log_sum_row(rows, n, rows.at(n, argmax_row(rows, n)));
  });
}

constexpr std::int64_t kColumns = 128;  // of a task

/// out_v = log sum_n exp(z_nv - lse_n) for the columns [begin, end), row after row.
template <class T, class F = ComputeType<T>>
[[gnu::always_inline]] inline void column_sums_of(F* out, const Rows<T>& rows, const F* lse,
                                                  std::int64_t begin, std::int64_t end) {
  F max[kColumns], sum[kColumns];
  const std::int64_t count = end - begin;
  for (std::int64_t i = 0; i < count; ++i) max[i] = -kInf<F>, sum[i] = 0;
  for (std::int64_t n = 0; n < rows.N; ++n) {
    if (!rows.counts(n)) continue;
    const T* z = rows.z + n * rows.V + begin;
    for (std::int64_t i = 0; i < count; ++i) {
      const F x = static_cast<F>(z[i]) - lse[n];
      max[i] = x > max[i] ? x : max[i];
    }
  }
  for (std::int64_t n = 0; n < rows.N; ++n) {
    if (!rows.counts(n)) continue;
    const T* z = rows.z + n * rows.V + begin;
    for (std::int64_t i = 0; i < count; ++i) {
      const F shift = max[i] == -kInf<F> ? F(0) : max[i];
      sum[i] += math::exp((static_cast<F>(z[i]) - lse[n]) - shift);
    }
  }
  for (std::int64_t i = 0; i < count; ++i)
    out[begin + i] = max[i] == -kInf<F> ? -kInf<F> : max[i] + math::log(sum[i]);
}

template <class T, class F = ComputeType<T>>
void column_sums(F* out, const Rows<T>& rows, const F* lse) {
  parallel_ranges(rows.V, kColumns, [&](std::int64_t begin, std::int64_t end) {
    simd([&](auto) { column_sums_of(out, rows, lse, begin, end); });
  });
}

template <class T, class F = ComputeType<T>>
void choose(std::int32_t* labels, const Rows<T>& rows, F threshold) {
  for_each_row(rows.N, rows.V, [&](std::int64_t n) {
    const std::int64_t best = argmax_row(rows, n);
    const F top = rows.at(n, best);
    const bool sure = threshold <= 0 || math::exp(top - log_sum_row(rows, n, top)) >= threshold;
    labels[n] = rows.counts(n) && sure ? static_cast<std::int32_t>(best) : kIgnoreIndex;
  });
}

}  // namespace

void balanced_labels(Tensor& labels, Tensor& offsets, const Tensor& student, const Tensor& weak,
                     const BalancedLabelsOptions& options, const Tensor& counted) {
  visit_floating(student.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const std::int64_t N = student.dim(0), V = student.dim(1);
    const std::int32_t* counts = counted.defined() ? counted.data<std::int32_t>() : nullptr;
    const Rows<T> taught = {weak.data<T>(), nullptr, counts, N, V};
    F* b = offsets.data<F>();
    const Rows<T> own = {student.data<T>(), b, counts, N, V};
    std::vector<F> lse(static_cast<std::size_t>(N)), wanted(static_cast<std::size_t>(V)),
        had(static_cast<std::size_t>(V));
    row_sums(lse.data(), taught);
    column_sums(wanted.data(), taught, lse.data());
    std::fill(b, b + V, F(0));
    for (int i = 0; i < options.iterations; ++i) {
      row_sums(lse.data(), own);
      column_sums(had.data(), own, lse.data());
      for (std::size_t v = 0; v < had.size(); ++v)
        b[v] = had[v] == -kInf<F> ? F(0) : wanted[v] - had[v];
    }
    choose(labels.data<std::int32_t>(), own, static_cast<F>(options.threshold));
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gram_compare.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/gram_polynomial.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/sum_of.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options) {
  constexpr const char* kOp = "gram_compare";
  check_rows(kOp, "student", student);
  check_like(kOp, "teacher", teacher, "student", student);
  LIMBECK_CHECK(student.dim(0) >= 1, kOp, ": student has shape ", student.shape(),
                "; expected (N,M) with N >= 1");
  if (out.dgram.defined()) check_like(kOp, "dgram", out.dgram, "student", student);
  check_statistics(kOp, "loss", out.loss, {1}, student);
  check_statistics(kOp, "scale", out.scale, {1}, student);
  const std::size_t terms = options.coefficients.size();
  LIMBECK_CHECK(2 <= terms && terms <= kMaxGramDegree + 1, kOp, ": ", terms,
                " coefficients; expected 2 to ", kMaxGramDegree + 1);
  for (const double a : options.coefficients)
    LIMBECK_CHECK(std::isfinite(a), kOp, ": a coefficient is ", a, "; expected finite ones");
  LIMBECK_CHECK(options.mean_over >= 0 && std::isfinite(options.mean_over), kOp, ": mean_over is ",
                options.mean_over, "; expected >= 0");
  LIMBECK_DISPATCH(student.device(),
                   gram_compare_forward_with_grad(out, student, teacher, options));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 32768;  // elements per task, about

/// sums = those over a row of (k(s) - k(t))^2 and of k(t)^2; ds, where there is one, written.
template <class F, class T, class K>
void compare_row(F (&sums)[2], T* ds, const T* s, const T* t, std::int64_t M, const K& k, F slope) {
  if (ds == nullptr)
    return wide_sums(sums, M, [=](auto& sum, std::int64_t lane, std::int64_t j) {
      const F target = k.at(static_cast<F>(t[j])).value;
      const F error = k.at(static_cast<F>(s[j])).value - target;
      sum[0][lane] += error * error;
      sum[1][lane] = math::fma(target, target, sum[1][lane]);
    });
  wide_sums(sums, M, [=](auto& sum, std::int64_t lane, std::int64_t j) {
    const F target = k.at(static_cast<F>(t[j])).value;
    const auto point = k.at(static_cast<F>(s[j]));
    const F error = point.value - target;
    sum[0][lane] += error * error;
    sum[1][lane] = math::fma(target, target, sum[1][lane]);
    ds[j] = error * point.slope * slope;
  });
}

}  // namespace

void gram_compare_forward_with_grad(GramCompareOutputs& out, const Tensor& student,
                                    const Tensor& teacher, const GramCompareOptions& options) {
  visit_floating(student.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const std::int64_t N = student.dim(0), M = student.dim(1);
    const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(N);
    const F count = static_cast<F>(rows * static_cast<double>(M));
    Tensor errors = Tensor::empty({N}, dtype_of<F>()), targets = Tensor::empty_like(errors);
    F *error = errors.data<F>(), *target = targets.data<F>();
    const T *s = student.data<T>(), *t = teacher.data<T>();
    T* ds = out.dgram.defined() ? out.dgram.data<T>() : nullptr;
    visit_gram_polynomial<F>(options.coefficients, [=](const auto& k) {
      parallel_ranges(N, kPiece / M + 1, [=](std::int64_t begin, std::int64_t end) {
        simd([=](auto) {
          for (std::int64_t n = begin; n < end; ++n) {
            F sums[2];
            compare_row(sums, ds ? ds + n * M : nullptr, s + n * M, t + n * M, M, k, 2 / count);
            error[n] = sums[0];
            target[n] = sums[1];
          }
        });
      });
    });
    const auto itself = [](F v) { return v; };
    const F squares = options.relative ? sum_of<F>(targets, itself) : F(0);
    const F divisor = squares == 0 ? count : squares;
    *out.loss.data<F>() = sum_of<F>(errors, itself) / divisor;
    *out.scale.data<F>() = count / divisor;
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/similarity_kl.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/similarity_terms.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher) {
  constexpr const char* kOp = "similarity_kl";
  check_rows(kOp, "student", student);
  LIMBECK_CHECK(student.dim(0) == student.dim(1) && dtype_size(student.dtype()) >= 4, kOp,
                ": student is ", student.dtype(), student.shape(),
                "; expected (N,N) of f32 or f64");
  check_like(kOp, "teacher", teacher, "student", student);
  if (dgram.defined()) check_like(kOp, "dgram", dgram, "student", student);
  check_statistics(kOp, "row_loss", row_loss, {student.dim(0)}, student);
  LIMBECK_DISPATCH(student.device(),
                   similarity_kl_forward_with_grad(row_loss, dgram, student, teacher));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 8192;  // elements per task, about: each takes two logarithms' time

/// One row of N similarities, `self` being the sample itself.
template <class F>
F divergence(F* ds, const F* s, const F* t, std::int64_t N, std::int64_t self) {
  F sum[2];
  wide_sums(sum, N, [=](auto& k, std::int64_t lane, std::int64_t j) {
    k[0][lane] += j == self ? F(0) : similarity(s[j]);
    k[1][lane] += j == self ? F(0) : similarity(t[j]);
  });
  const F inverse_s = 1 / sum[0], inverse_t = 1 / sum[1];
  const F slope = F(-0.5) * inverse_s / static_cast<F>(N);
  F loss[1];
  wide_sums(loss, N, [=](auto& l, std::int64_t lane, std::int64_t j) {
    const F ks = similarity(s[j]), pt = similarity(t[j]) * inverse_t;
    const F u = math::log(pt / (ks * inverse_s));
    l[0][lane] += j == self ? F(0) : pt * excess(u);
    if (ds == nullptr) return;
    const bool fixed = j == self || ks == static_cast<F>(kLeastSimilarity);
    ds[j] = fixed ? F(0) : slope * math::expm1(u);
  });
  return loss[0];
}

}  // namespace

void similarity_kl_forward_with_grad(Tensor& row_loss, Tensor& dgram, const Tensor& student,
                                     const Tensor& teacher) {
  visit_floating(student.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    if constexpr (sizeof(T) >= 4) {
      const std::int64_t N = student.dim(0);
      F *losses = row_loss.data<F>(), *ds = dgram.defined() ? dgram.data<F>() : nullptr;
      const F *s = student.data<F>(), *t = teacher.data<F>();
      parallel_ranges(N, kPiece / N + 1, [=](std::int64_t begin, std::int64_t end) {
        simd([=](auto) {
          for (std::int64_t n = begin; n < end; ++n)
            losses[n] = divergence(ds ? ds + n * N : nullptr, s + n * N, t + n * N, N, n);
        });
      });
    }
  });
}

}  // namespace cpu
}  // namespace limbeck

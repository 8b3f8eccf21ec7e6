// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/distribution_kl.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/distribution_functions.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "distribution_kl";

void check_log_scale(const char* name, const Tensor& log_scale, const Tensor& mean) {
  const bool one = log_scale.shape() == Shape{1};
  LIMBECK_CHECK((one || log_scale.shape() == mean.shape()) && log_scale.dtype() == mean.dtype() &&
                    log_scale.device() == mean.device(),
                kOp, ": ", name, "'s log_scale is ", log_scale.dtype(), log_scale.shape(), " on ",
                log_scale.device(), ", its mean ", mean.dtype(), mean.shape(), " on ",
                mean.device(), "; expected a like one, or (1)");
}

void check_gradients(const char* name, const Distribution& grad, const Distribution& of) {
  if (grad.mean.defined()) check_like(kOp, "a mean's gradient", grad.mean, "the mean", of.mean);
  if (!grad.log_scale.defined()) return;
  LIMBECK_CHECK(of.log_scale.shape() == of.mean.shape(), kOp, ": gradient of ", name,
                "'s log_scale asked for, which is one for all");
  check_like(kOp, "a log_scale's gradient", grad.log_scale, "the mean", of.mean);
}

}  // namespace

const char* distribution_kl_name(DistributionKl kind) {
  switch (kind) {
    case DistributionKl::gauss_gauss:
      return "gauss_gauss";
    case DistributionKl::laplace_laplace:
      return "laplace_laplace";
    case DistributionKl::gauss_laplace:
      return "gauss_laplace";
  }
  return "?";
}

void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q,
                                       const DistributionKlOptions& options) {
  check_rows(kOp, "p's mean", p.mean);
  check_like(kOp, "q's mean", q.mean, "p's mean", p.mean);
  check_log_scale("p", p.log_scale, p.mean);
  check_log_scale("q", q.log_scale, q.mean);
  check_gradients("p", out.dp, p);
  check_gradients("q", out.dq, q);
  if (out.row_loss.defined())
    check_statistics(kOp, "row_loss", out.row_loss, {p.mean.dim(0)}, p.mean);
  LIMBECK_CHECK(options.mean_over >= 0 && std::isfinite(options.mean_over), kOp, ": mean_over is ",
                options.mean_over, "; expected >= 0");
  LIMBECK_DISPATCH(p.mean.device(), distribution_kl_forward_with_grad(out, p, q, options));
}

namespace cpu {
namespace {

constexpr std::int64_t kPiece = 8192;   // elements per task, about
constexpr std::int64_t kColumns = 256;  // at a time; part of the result

/// Elements of an operand: as many as there are means, or one.
template <class T>
struct Operand {
  const T* at;
  bool one;

  Operand(const Tensor& t, const Tensor& mean)
      : at(t.data<T>()), one(t.numel() == 1 && mean.numel() != 1) {}
  template <class F>
  void load(F* to, std::int64_t first, std::int64_t n) const {
    const std::int64_t begin = one ? 0 : first;
    if (one) {
      std::fill_n(to, n, static_cast<F>(*at));
      return;
    }
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) to[i] = static_cast<F>(at[begin + i]);
  }
};

template <class F, class T>
void store(T* to, const F* from, std::int64_t first, std::int64_t n) {
  if (to == nullptr) return;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) to[first + i] = static_cast<T>(from[i]);
}

template <class F, class T>
struct Problem {
  Operand<T> m1, s1, m2, s2;
  T *dm1, *ds1, *dm2, *ds2;  // or null
  std::int64_t C;
  F k;  // of the gradients
};

/// The sum of one row's divergences, and its gradients.
template <DistributionKl kKind, class F, class T>
F run_row(const Problem<F, T>& p, std::int64_t row) {
  F sum[kLanes] = {};
  for (std::int64_t c = 0; c < p.C; c += kColumns) {
    const std::int64_t n = std::min(kColumns, p.C - c), first = row * p.C + c;
    F m1[kColumns], s1[kColumns], m2[kColumns], s2[kColumns], kl[kColumns];
    p.m1.load(m1, first, n);
    p.s1.load(s1, first, n);
    p.m2.load(m2, first, n);
    p.s2.load(s2, first, n);
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const KlElement<F> e = kl_element<kKind>(m1[i], s1[i], m2[i], s2[i]);
      kl[i] = e.kl;
      m1[i] = e.m1 * p.k;
      s1[i] = e.s1 * p.k;
      m2[i] = e.m2 * p.k;
      s2[i] = e.s2 * p.k;
    }
    store(p.dm1, m1, first, n);
    store(p.ds1, s1, first, n);
    store(p.dm2, m2, first, n);
    store(p.ds2, s2, first, n);
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane) sum[lane] += kl[i + lane];
    }
    for (int lane = 0; i + lane < n; ++lane) sum[lane] += kl[i + lane];
  }
  RowTile<true>::sum_lanes(sum);
  return sum[0];
}

}  // namespace

void distribution_kl_forward_with_grad(DistributionKlOutputs& out, const Distribution& p,
                                       const Distribution& q,
                                       const DistributionKlOptions& options) {
  const std::int64_t R = p.mean.dim(0), C = p.mean.dim(1);
  const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(R);
  visit_floating(p.mean.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const Problem<F, T> problem{{p.mean, p.mean},
                                {p.log_scale, p.mean},
                                {q.mean, q.mean},
                                {q.log_scale, q.mean},
                                data_or_null<T>(out.dp.mean),
                                data_or_null<T>(out.dp.log_scale),
                                data_or_null<T>(out.dq.mean),
                                data_or_null<T>(out.dq.log_scale),
                                C,
                                static_cast<F>(1 / (static_cast<double>(C) * rows))};
    F* row_loss = data_or_null<F>(out.row_loss);
    const F scale = static_cast<F>(1 / static_cast<double>(C));
    visit_distribution_kl(options.kind, [&](auto kind) {
      parallel_ranges(R, kPiece / C + 1, [&](std::int64_t begin, std::int64_t end) {
        simd([&](auto) {
          for (std::int64_t r = begin; r < end; ++r) {
            const F sum = run_row<kind.value>(problem, r);
            if (row_loss) row_loss[r] = sum * scale;
          }
        });
      });
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

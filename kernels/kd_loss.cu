// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_loss.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/mean_scale.cuh>
#include <limbeck/kernels/rows.cuh>

namespace limbeck::cuda {
namespace {

// The numbers behind the formulas are told beside the CPU twin; names are the same here. A row is
// walked along three times: maxima, sums, then gradient and loss.
constexpr int kAttempts = 4;

struct Weights {
  float inv_tau, loss_kd, loss_ce;
  double grad_kd, grad_ce;  // not yet over the mean
  gpu::MeanScale mean;
};

/// a - b and what rounding took from it.
struct Difference {
  float value, lost;
};
LIMBECK_DEVICE Difference exact_difference(float a, float b) {
  const float value = a - b, minus_b = value - a;
  const float lost = (a - (value - minus_b)) - (b + minus_b);
  return {value, value - value == 0.0f ? lost : 0.0f};  // of an infinite one, nothing
}

struct RowStats {
  float max_s, max_t, raise;
  Difference max_gap;  // max_t - max_s
  float poison;        // NaN where an input is not finite, else 0
  float sum_e, sum_y, sum_c;
};

struct Terms {
  float d, e, y, c;
};

template <class Rows>
LIMBECK_DEVICE RowStats find_maxima(const Rows& rows) {
  const float lowest = -__builtin_huge_valf();
  float max[2] = {lowest, lowest}, poison[1] = {0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) {
        max[0] = gpu::Max{}(max[0], p.z[0][j]);
        max[1] = gpu::Max{}(max[1], p.z[1][j]);
        poison[0] += p.z[0][j] * 0.0f + p.z[1][j] * 0.0f;
      }
  });
  rows.reduce(max, gpu::Max{});
  rows.reduce(poison, gpu::Sum{});
  return {max[0], max[1], 0, exact_difference(max[1], max[0]), poison[0], 0, 0, 0};
}

/// Bounded, because an infinite one times a probability of 0 would be NaN.
LIMBECK_DEVICE float bounded(float x) {
  const float below = x > 1e30f ? 1e30f : x;
  return below < -1e30f ? -1e30f : below;
}

/// The exponentials of one element; kOwnCe: the cross-entropy's, c, is not e.
template <bool kOwnCe>
LIMBECK_DEVICE Terms terms(float zs, float zt, const RowStats& r, float inv_tau) {
  const float z = zs - r.max_s, s = z * inv_tau;
  const Difference gap = exact_difference(zt, zs);
  const float gap_less_max = (gap.value - r.max_gap.value) + (gap.lost - r.max_gap.lost);
  Terms term;
  term.d = bounded(gap_less_max * inv_tau - r.raise);
  term.e = math::exp(s);
  const float heavy = s < -46.0f ? s + term.d + 46.0f : term.d;
  if (heavy > 16.0f)  // d > 16 and pt > e^-30
    term.y = math::exp((zt - r.max_t) * inv_tau - r.raise) - term.e;
  else
    term.y = term.e * math::expm1(term.d > 80.0f ? 80.0f : term.d);
  term.c = kOwnCe ? math::exp(z) : term.e;
  return term;
}

template <bool kOwnCe, class Rows>
LIMBECK_DEVICE void sum_exponentials(const Rows& rows, float inv_tau, RowStats& r) {
  float sum[3] = {0, 0, 0};
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) {
        const Terms term = terms<kOwnCe>(p.z[0][j], p.z[1][j], r, inv_tau);
        sum[0] += term.e;
        sum[1] += term.y;
        sum[2] += term.c;
      }
  });
  rows.reduce(sum, gpu::Sum{});
  r.sum_e = sum[0];
  r.sum_y = sum[1];
  r.sum_c = sum[2];
}

/// Sums, again with a better `raise` while sum y / sum e is close to -1.
template <bool kOwnCe, class Rows>
LIMBECK_DEVICE void exponentials(const Rows& rows, float inv_tau, RowStats& r) {
  sum_exponentials<kOwnCe>(rows, inv_tau, r);
  for (int attempt = 1; attempt < kAttempts; ++attempt) {
    const float ratio = (r.sum_e + r.sum_y) / r.sum_e;
    if (!(ratio < 0.125f)) return;
    r.raise += math::log(ratio > 0x1p-20f ? ratio : 0x1p-20f);
    sum_exponentials<kOwnCe>(rows, inv_tau, r);
  }
}

/// Writes the gradient and returns this thread's part of the row's KL.
template <bool kOwnCe, class Rows>
LIMBECK_DEVICE float finish(const Rows& rows, const Weights& w, const RowStats& r, int label) {
  const float A = r.sum_y / r.sum_e, log_sums = math::log1p(A);
  const float k = 1.0f / (r.sum_e + r.sum_y) + r.poison;
  const double mean = w.mean.value();
  const float grad_kd = static_cast<float>(w.grad_kd * mean);
  const float grad_label = static_cast<float>(w.grad_ce * mean);
  const float grad_ce = grad_label / r.sum_c;
  float kl = 0;
  rows.write([&](const auto& p, int j) {
    const Terms term = terms<kOwnCe>(p.z[0][j], p.z[1][j], r, w.inv_tau);
    const float u = term.d - log_sums;
    const float ps_minus_pt = k * math::fma(A, term.e, -term.y);
    const float pt = k * (term.e + term.y);
    const float near = pt * (u * u) * math::exp_remainder(-u);
    const float far = math::fma(pt, u, ps_minus_pt);
    const float positive = far < 0.0f ? 0.0f : far;  // rounding may have crossed 0; NaN stays
    kl += u * u < 0.12f ? near : positive;
    const float gradient = math::fma(grad_kd, ps_minus_pt, grad_ce * term.c);
    return p.column(j) == label ? gradient - grad_label : gradient;
  });
  return kl;
}

/// Reads 2*N*V and writes N*V elements; rows longer than 1024 are read three times, mostly from L2.
template <bool kOwnCe, class Rows, class Args>
LIMBECK_KERNEL kd_loss_kernel(float* row_loss, Args args, const std::int32_t* labels, Weights w) {
  const std::int64_t row = Rows::row();
  if (row >= args.rows) return;
  const Rows rows(args, row);
  const std::int32_t label = labels ? labels[row] : -1;
  if (label == kIgnoreIndex) {
    rows.write([](const auto&, int) { return 0.0f; });
    if (rows.leader()) row_loss[row] = 0;
    return;
  }
  const bool valid = 0 <= label && label < args.columns;
  const float at_label = valid ? rows.at(0, label) : __builtin_nanf("");
  RowStats r = find_maxima(rows);
  exponentials<kOwnCe>(rows, w.inv_tau, r);
  float kl[1] = {finish<kOwnCe>(rows, w, r, w.loss_ce > 0 ? label : -1)};
  rows.reduce(kl, gpu::Sum{});
  if (!rows.leader()) return;
  const float ce = w.loss_ce > 0 ? math::log(r.sum_c) + (r.max_s - at_label) : 0.0f;
  row_loss[row] = w.loss_kd * kl[0] + w.loss_ce * ce + r.poison;
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels, const KdLossOptions& o,
                               const KdLossRows&) {
  const std::int64_t N = student.dim(0);
  if (N == 0) return;
  Tensor counted;
  const Weights w{static_cast<float>(1 / o.tau),
                  static_cast<float>(o.kd_weight * o.tau * o.tau),
                  static_cast<float>(o.ce_weight),
                  o.kd_weight * o.tau,
                  o.ce_weight,
                  gpu::mean_scale(counted, o.mean_over, labels, N)};
  const std::int32_t* label = labels.defined() ? labels.data<std::int32_t>() : nullptr;
  gpu::visit_gpu_floating("kd_loss", student.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 2>;
    const Args args{{student.data<T>(), teacher.data<T>()},
                    dstudent.defined() ? dstudent.data<T>() : nullptr,
                    N,
                    static_cast<int>(student.dim(1))};
    gpu::visit_rows<T, 2>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      const bool own_ce = o.ce_weight > 0 && o.tau != 1;
      const auto kernel =
          own_ce ? kd_loss_kernel<true, Rows, Args> : kd_loss_kernel<false, Rows, Args>;
      gpu::launch(gpu::rows_launch<Rows>("kd_loss", N), kernel, row_loss.data<float>(), args, label,
                  w);
    });
  });
}

}  // namespace limbeck::cuda

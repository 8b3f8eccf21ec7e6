// SPDX-License-Identifier: Apache-2.0
// CUDA: distillation losses of any mix of divergences, and statistics of rows. Exponentials are
// computed again in each walk along the row instead of kept: there is no room for all of them.
#include <limbeck/kernels/kd_loss_rows.cuh>

namespace limbeck::cuda::kd {
namespace {

/// One distribution over a row's classes: all of them, or all but `skip`.
template <class T>
struct Distribution {
  RowStats<T> r;
  Norms norms;
  float inv_tau;

  LIMBECK_DEVICE divergence::ClassTerms<float> terms(float zs, float zt) const {
    const float d = r.log_gap(zs, zt, inv_tau);
    const Exponentials x = r.exponentials(zs, zt, d, inv_tau);
    return {norms.ps(x), norms.pt(x), norms.ps_minus_pt(x), bounded(d) - norms.log_sums};
  }
};

template <class T, class Rows>
LIMBECK_DEVICE Distribution<T> distribution(const Rows& rows, const Weights& w, int skip) {
  RowStats<T> r = find_maxima<T>(rows, skip);
  const bool with_ce = w.with_ce && skip < 0;
  sum_exponentials(rows, r, skip, [&](const auto& p, int j, float* sum) {
    const float zs = p.z[0][j], zt = p.z[1][j], d = r.log_gap(zs, zt, w.inv_tau);
    const Exponentials x = r.exponentials(zs, zt, d, w.inv_tau);
    sum[0] += x.e;
    sum[1] += x.y;
    if (with_ce) sum[2] += math::exp_of_moderate(zs - r.max_s);
  });
  return {r, Norms(r), w.inv_tau};
}

template <class T, class Rows>
LIMBECK_DEVICE void store_statistics(const Rows& rows, std::int64_t row, const RowPointers& to,
                                     const Distribution<T>& all) {
  const RowStats<T>& r = all.r;
  const float log_e = math::log(r.sum_e), log_t = math::log(r.sum_e + r.sum_y) + r.raise;
  float entropy[2] = {0, 0};
  float minus_top[2] = {-0x1p30f, -0x1p30f};  // columns, exact in float; the first is the largest
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) {
        const float zs = p.z[0][j], zt = p.z[1][j];
        const auto c = all.terms(zs, zt);
        const float s = bounded((zs - r.max_s) * all.inv_tau);
        const float t = bounded((zt - r.max_t) * all.inv_tau);
        entropy[0] = math::fma(c.ps, log_e - s, entropy[0]);
        entropy[1] = math::fma(c.pt, log_t - t, entropy[1]);
        const float minus_column = -static_cast<float>(p.column(j));
        if (zs == r.max_s) minus_top[0] = gpu::number_max(minus_top[0], minus_column);
        if (zt == r.max_t) minus_top[1] = gpu::number_max(minus_top[1], minus_column);
      }
  });
  rows.reduce(entropy, gpu::Sum{});
  rows.reduce(minus_top, gpu::NumberMax{});
  if (!rows.leader()) return;
  if (to.student_lse) to.student_lse[row] = r.max_s * all.inv_tau + log_e + r.poison;
  if (to.teacher_lse) to.teacher_lse[row] = r.max_t * all.inv_tau + log_t + r.poison;
  if (to.student_entropy) to.student_entropy[row] = entropy[0];
  if (to.teacher_entropy) to.teacher_entropy[row] = entropy[1];
  if (to.agreement)
    to.agreement[row] = r.poison == 0.0f && minus_top[0] == minus_top[1] ? 1.0f : 0.0f;
}

/// The label's class against the rest, as on the CPU; `rest` leaves it out.
template <class T>
LIMBECK_DEVICE divergence::TwoOutcomes<float> target_class(const Distribution<T>& rest, float zs,
                                                           float zt) {
  const RowStats<T>& r = rest.r;
  const float log_e = math::log(r.sum_e), log_t = math::log(r.sum_e + r.sum_y);
  const float s = bounded((zs - r.max_s) * rest.inv_tau - log_e);
  const float t = bounded((zt - r.max_t) * rest.inv_tau - r.raise - log_t);
  const float gap = bounded(r.log_gap(zs, zt, rest.inv_tau)) - rest.norms.log_sums;
  return divergence::two_outcomes(s, t, gap);
}

LIMBECK_DEVICE divergence::Share<float> share(const divergence::ClassTerms<float>& c,
                                              const Weights& w) {
  return w.with_jsd ? divergence::share<true>(c, w.row) : divergence::share<false>(c, w.row);
}

template <class T, class Rows>
LIMBECK_DEVICE void mix_row(const Rows& rows, std::int64_t row, int columns,
                            const RowPointers& pointers, const Weights& w) {
  const bool left_out = pointers.left_out(row);
  const int label = pointers.label_of(row);
  const float weight = pointers.weight_of(row);
  const float zs_label = logit_of(rows, 0, label, columns);
  const float zt_label = logit_of(rows, 1, label, columns);
  Distribution<T> all, rest;
  if (!left_out || w.row_stats) all = distribution<T>(rows, w, -1);
  if (w.row_stats) store_statistics(rows, row, pointers, all);
  if (left_out) {
    rows.write([](const auto&, int) { return 0.0f; });
    if (rows.leader()) pointers.loss[row] = 0;
    return;
  }
  const bool with_dkd = w.with_dkd && columns > 1;
  if (with_dkd) rest = distribution<T>(rows, w, label);

  float sum[2] = {0, 0};  // of the losses, and of ps h
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j)) {
        const float zs = p.z[0][j], zt = p.z[1][j];
        const auto c = all.terms(zs, zt);
        const auto s = share(c, w);
        sum[0] += s.loss;
        sum[1] = math::fma(c.ps, s.h, sum[1]);
        if (with_dkd && w.nckd > 0 && p.column(j) != label)
          sum[0] += w.nckd * divergence::forward_kl_term(rest.terms(zs, zt));
      }
  });
  rows.reduce(sum, gpu::Sum{});
  float soft = sum[0], change = 0;
  if (with_dkd && w.tckd > 0) {
    const auto two = target_class(rest, zs_label, zt_label);
    soft += w.tckd * two.kl;
    change = w.tckd * two.ps_minus_pt;
  }

  const double scale = w.mean.value() * weight;
  const float grad_soft = static_cast<float>(w.grad_soft * scale);
  const float grad_kl = static_cast<float>(w.grad_forward_kl * scale);
  const float grad_label = static_cast<float>(w.grad_ce * scale),
              grad_ce = grad_label / all.r.sum_c;
  rows.write([&](const auto& p, int j) {
    const float zs = p.z[0][j], zt = p.z[1][j];
    const bool target = p.column(j) == label;
    const auto c = all.terms(zs, zt);
    float gradient = grad_soft * c.ps * (share(c, w).h - sum[1]);
    gradient = math::fma(grad_kl, c.ps_minus_pt, gradient);
    if (w.with_ce) {
      gradient = math::fma(grad_ce, math::exp_of_moderate(zs - all.r.max_s), gradient);
      if (target) gradient -= grad_label;
    }
    if (!with_dkd) return gradient;
    if (target) return math::fma(grad_soft, change, gradient);
    const auto other = rest.terms(zs, zt);
    return math::fma(grad_soft, math::fma(w.nckd, other.ps_minus_pt, -change * other.ps), gradient);
  });
  if (!rows.leader()) return;
  const float ce = w.with_ce ? w.ce * (math::log(all.r.sum_c) + (all.r.max_s - zs_label)) : 0.0f;
  pointers.loss[row] = weight * (w.tau * w.tau * soft + all.r.poison + ce);
}

/// Reads 2*N*V and writes N*V elements; rows longer than 1024 are read six times or more, mostly
/// from L2, where the device has no clusters.
template <class Rows, class T>
LIMBECK_KERNEL_OF(Rows::kBlockThreads, 1)
mix_kernel(Args<T> args, RowPointers pointers, Weights w) {
  Rows::for_each_row(args, [&](const Rows& rows, std::int64_t row) {
    mix_row<T>(rows, row, args.columns, pointers, w);
  });
}

}  // namespace

template <class T>
void mix(const Args<T>& args, const RowPointers& pointers, const Weights& w) {
  const auto kernel_of = []<class Rows>(TypeTag<Rows>) { return mix_kernel<Rows, T>; };
  gpu::launch_rows<false>("kd_loss_mix", args, kernel_of, args, pointers, w);
}

template void mix(const Args<float>&, const RowPointers&, const Weights&);
template void mix(const Args<BFloat16>&, const RowPointers&, const Weights&);
template void mix(const Args<Float16>&, const RowPointers&, const Weights&);

}  // namespace limbeck::cuda::kd

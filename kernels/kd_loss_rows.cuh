// SPDX-License-Identifier: Apache-2.0
// Internal, CUDA: the exponentials of one row of the distillation loss and their sums, for any
// logits whatever. The numbers are explained in kd_loss_exponentials.h; names are the same here.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/divergence.h>
#include <limbeck/kernels/kd_loss.h>
#include <limbeck/kernels/cluster_rows.cuh>
#include <limbeck/kernels/mean_scale.cuh>

namespace limbeck::cuda::kd {

/// Null where there is nothing.
struct RowPointers {
  const std::int32_t* label;
  const float* weight;
  float *loss, *student_lse, *teacher_lse, *student_entropy, *teacher_entropy, *agreement;

  LIMBECK_DEVICE bool left_out(std::int64_t row) const {
    return (label && label[row] == kIgnoreIndex) || (weight && weight[row] == 0.0f);
  }
  LIMBECK_DEVICE int label_of(std::int64_t row) const { return label ? label[row] : -1; }
  LIMBECK_DEVICE float weight_of(std::int64_t row) const { return weight ? weight[row] : 1.0f; }
};

struct Weights {
  float tau, inv_tau;
  divergence::Weights<float> row;  // without tau^2
  float tckd, nckd, ce;
  double grad_soft, grad_forward_kl, grad_ce;  // not yet over the mean
  gpu::MeanScale mean;
  float square, fourth;  // 1 or 0: whether exp(z) is e^2 or e^4, with Ce::power
  bool with_ce, with_jsd, with_dkd, row_stats;
};

/// The logit of a label, NaN for one that is no column.
template <class Rows>
LIMBECK_DEVICE float logit_of(const Rows& rows, int model, int label, int columns) {
  return 0 <= label && label < columns ? rows.at(model, label) : math::detail::kNan;
}

/// a - b and what rounding took from it; of an infinite one that stands for nothing.
struct Difference {
  float value, lost;
};
LIMBECK_DEVICE Difference exact_difference(float a, float b) {
  const float value = a - b, minus_b = value - a;
  const float lost = (a - (value - minus_b)) - (b + minus_b);
  return {value, gpu::number_max(lost, -divergence::kUnbounded)};  // NaN would spoil the value
}

/// With d = log_gap: e and y = e expm1(d).
struct Exponentials {
  float e, y;
};

/// T is the logits' type.
template <class T>
struct RowStats {
  float max_s, max_t, raise;
  float poison;        // NaN where a logit is NaN or +inf, or all are -inf; else 0
  Difference max_gap;  // max_t - max_s
  float sum_e, sum_y, sum_c, sum_ed;

  /// t - s: infinite where one model masks the class, NaN where both do. The difference of two
  /// 16-bit logits is rounded to f32, far below their own last digits.
  LIMBECK_DEVICE float log_gap(float zs, float zt, float inv_tau) const {
    float gap_less_max;
    if constexpr (sizeof(T) < 4) {
      gap_less_max = (zt - zs) - max_gap.value;
    } else {
      const Difference gap = exact_difference(zt, zs);
      gap_less_max = (gap.value - max_gap.value) + (gap.lost - max_gap.lost);
    }
    return math::fma(gap_less_max, inv_tau, -raise);
  }
  LIMBECK_DEVICE Exponentials exponentials(float zs, float zt, float d, float inv_tau) const {
    const float e = math::exp_of_moderate((zs - max_s) * inv_tau);
    if (d > 16.0f) {
      const float t = (zt - max_t) * inv_tau - raise;
      if (t > -30.0f) return {e, math::exp_of_moderate(t) - e};  // e may have lost what pt needs
    }
    return {e, e * math::quick_expm1(gpu::number_min(d, 80.0f))};
  }
};

/// Within +-kUnbounded; NaN becomes one of them.
LIMBECK_DEVICE float bounded(float d) {
  return gpu::number_max(gpu::number_min(d, divergence::kUnbounded), -divergence::kUnbounded);
}

/// Without column `skip`, unless that is negative.
template <class T, class Rows>
LIMBECK_DEVICE RowStats<T> find_maxima(const Rows& rows, int skip = -1) {
  const float inf = math::detail::kInf;
  float max[3] = {-inf, -inf, 0};  // the last is 1 when there is a NaN
  bool nan = false;
  rows.each([&](const auto& p) {
    LIMBECK_UNROLL
    for (int j = 0; j < p.size; ++j)
      if (p.holds(j) && p.column(j) != skip) {
        const float zs = p.z[0][j], zt = p.z[1][j];
        max[0] = gpu::number_max(max[0], zs);
        max[1] = gpu::number_max(max[1], zt);
        nan = nan || zs != zs || zt != zt;
      }
  });
  max[2] = nan ? 1.0f : 0.0f;
  rows.reduce(max, gpu::NumberMax{});
  const bool finite = max[0] > -inf && max[0] < inf && max[1] > -inf && max[1] < inf;
  RowStats<T> r{};
  r.max_s = max[0];
  r.max_t = max[1];
  r.poison = finite && max[2] == 0.0f ? 0.0f : math::detail::kNan;
  r.max_gap = exact_difference(max[1], max[0]);
  return r;
}

/// Sums visit(r, p, j) of all elements but column `skip`; again with a better `raise` while
/// sum y / sum e is close to -1.
template <class T, class Rows, class Visit>
LIMBECK_DEVICE void sum_exponentials(const Rows& rows, RowStats<T>& r, int skip, Visit visit) {
  constexpr int kAttempts = 4;
  for (int attempt = 1;; ++attempt) {
    float sum[4] = {0, 0, 0, 0};
    rows.each([&](const auto& p) {
      LIMBECK_UNROLL
      for (int j = 0; j < p.size; ++j)
        if (p.holds(j) && p.column(j) != skip) visit(p, j, sum);
    });
    rows.reduce(sum, gpu::Sum{});
    r.sum_e = sum[0];
    r.sum_y = sum[1];
    r.sum_c = sum[2];
    r.sum_ed = sum[3];
    const float ratio = (r.sum_e + r.sum_y) / r.sum_e;
    if (attempt == kAttempts || !(ratio < 0.125f)) return;
    r.raise += math::log(ratio > 0x1p-20f ? ratio : 0x1p-20f);
  }
}

/// What turns exponentials into probabilities.
struct Norms {
  float A, k, inv_e, log_sums;

  Norms() = default;
  template <class T>
  LIMBECK_DEVICE explicit Norms(const RowStats<T>& r)
      : A(r.sum_y / r.sum_e),
        k(1.0f / (r.sum_e + r.sum_y) + r.poison),
        inv_e(1.0f / r.sum_e + r.poison),
        log_sums(math::log1p(A)) {}
  LIMBECK_DEVICE float ps(Exponentials x) const { return x.e * inv_e; }
  LIMBECK_DEVICE float pt(Exponentials x) const { return k * (x.e + x.y); }
  LIMBECK_DEVICE float ps_minus_pt(Exponentials x) const { return k * math::fma(A, x.e, -x.y); }
};

template <class T>
using Args = gpu::RowsArgs<T, 2>;

/// Mixes with more than the two KL divergences and cross-entropy, or statistics of rows.
template <class T>
void mix(const Args<T>& args, const RowPointers& pointers, const Weights& w);

}  // namespace limbeck::cuda::kd

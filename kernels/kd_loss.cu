// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_loss.h>

#include <limbeck/kernels/kd_loss_rows.cuh>

namespace limbeck::cuda {
namespace {

using kd::Exponentials, kd::RowPointers, kd::RowStats, kd::Weights;

/// Where the cross-entropy's exponential comes from: nowhere, from e as a power of it, or from exp.
enum class Ce { none, power, own };

/// The exponentials of a thread's elements, from the sums to the gradient, where there is room.
template <class Rows>
struct Kept {
  static constexpr bool kRoom = Rows::kKept > 0;
  Exponentials of[kRoom ? Rows::kKept : 1] = {};
};

/// exp(zs - max zs), the cross-entropy's.
template <Ce kCe, class T>
LIMBECK_DEVICE float unheated(float e, float zs, const RowStats<T>& r, const Weights& w) {
  if constexpr (kCe == Ce::own) return math::exp_of_moderate(zs - r.max_s);
  const float power = e * math::fma(e, w.square, 1.0f - w.square);
  return power * math::fma(power, w.fourth, 1.0f - w.fourth);
}

/// divergence::kl_term of a u that may be infinite, and NaN where p is 0.
LIMBECK_DEVICE float kl_term(float p, float other_minus_p, float u) {
  const float near = p * (u * u) * math::exp_remainder(-u);
  const float far = gpu::number_max(math::fma(p, u, other_minus_p), 0.0f);
  return u * u < 0.12f ? near : far;
}

template <Ce kCe, bool kReverse, class T, class Rows>
LIMBECK_DEVICE void sum_and_keep(const Rows& rows, const Weights& w, RowStats<T>& r,
                                 Kept<Rows>& kept) {
  kd::sum_exponentials(rows, r, -1, [&](const auto& p, int j, float* sum) {
    const float zs = p.z[0][j], zt = p.z[1][j], d = r.log_gap(zs, zt, w.inv_tau);
    const Exponentials x = r.exponentials(zs, zt, d, w.inv_tau);
    if constexpr (Kept<Rows>::kRoom) kept.of[p.slot + j] = x;
    sum[0] += x.e;
    sum[1] += x.y;
    if constexpr (kCe != Ce::none) sum[2] += unheated<kCe>(x.e, zs, r, w);
    if constexpr (kReverse) sum[3] = math::fma(x.e, kd::bounded(d), sum[3]);
  });
}

/// A thread's part of the row's KL(teacher || student) and KL(student || teacher).
struct Divergences {
  float forward, reverse;
};

/// Writes the gradient. The reverse KL's is ps (mean d - d), with the mean under ps.
template <Ce kCe, bool kReverse, class T, class Rows>
LIMBECK_DEVICE Divergences finish(const Rows& rows, const Weights& w, const RowStats<T>& r,
                                  const Kept<Rows>& kept, double scale, int label) {
  const kd::Norms norms(r);
  const float grad_kl = static_cast<float>(w.grad_forward_kl * scale);
  const float grad_reverse = static_cast<float>(w.grad_soft * w.row.reverse_kl * scale);
  const float grad_label = static_cast<float>(w.grad_ce * scale);
  const float grad_ce = grad_label / r.sum_c, mean_d = r.sum_ed / r.sum_e;
  Divergences sum{0, 0};
  rows.write([&](const auto& p, int j) {
    const float zs = p.z[0][j], zt = p.z[1][j], d = r.log_gap(zs, zt, w.inv_tau);
    Exponentials x;
    if constexpr (Kept<Rows>::kRoom)
      x = kept.of[p.slot + j];
    else
      x = r.exponentials(zs, zt, d, w.inv_tau);
    const float ps_minus_pt = norms.ps_minus_pt(x);
    const float u = gpu::number_max(d, -divergence::kUnbounded) - norms.log_sums;
    sum.forward += kl_term(norms.pt(x), ps_minus_pt, u);
    float gradient = grad_kl * ps_minus_pt;
    if constexpr (kReverse) {
      const float ps = norms.ps(x),
                  minus_u = norms.log_sums - gpu::number_min(d, divergence::kUnbounded);
      sum.reverse += kl_term(ps, -ps_minus_pt, minus_u);
      gradient = math::fma(grad_reverse * ps, mean_d - kd::bounded(d), gradient);
    }
    if constexpr (kCe == Ce::none) return gradient;
    gradient = math::fma(grad_ce, unheated<kCe>(x.e, zs, r, w), gradient);
    return p.column(j) == label ? gradient - grad_label : gradient;
  });
  return sum;
}

template <Ce kCe, bool kReverse, class Rows>
LIMBECK_DEVICE void kd_loss_row(const Rows& rows, std::int64_t row, int columns,
                                const RowPointers& pointers, const Weights& w) {
  if (pointers.left_out(row)) {
    rows.write([](const auto&, int) { return 0.0f; });
    if (rows.leader()) pointers.loss[row] = 0;
    return;
  }
  const int label = w.with_ce ? pointers.label_of(row) : -1;
  const float weight = pointers.weight_of(row), at_label = kd::logit_of(rows, 0, label, columns);
  const double scale = w.mean.value() * weight;
  Kept<Rows> kept;
  auto r = kd::find_maxima<typename Rows::Element>(rows);
  sum_and_keep<kCe, kReverse>(rows, w, r, kept);
  const Divergences part = finish<kCe, kReverse>(rows, w, r, kept, scale, label);
  float sum[2] = {part.forward, part.reverse};
  rows.reduce(sum, gpu::Sum{});
  if (!rows.leader()) return;
  float soft = w.row.forward_kl > 0 ? w.row.forward_kl * sum[0] : 0.0f;  // may be infinite
  if (kReverse) soft += w.row.reverse_kl * sum[1];
  const float ce = w.with_ce ? w.ce * (math::log(r.sum_c) + (r.max_s - at_label)) : 0.0f;
  pointers.loss[row] = weight * (w.tau * w.tau * soft + r.poison + ce);
}

/// Reads 2*N*V and writes N*V elements; rows longer than 1024 are read up to three times, mostly
/// from L2, where the device has no clusters.
template <Ce kCe, bool kReverse, class Rows, class T>
LIMBECK_KERNEL_OF(Rows::kBlockThreads, 512 / Rows::kBlockThreads)
kd_loss_kernel(kd::Args<T> args, RowPointers pointers, Weights w) {
  Rows::for_each_row(args, [&](const Rows& rows, std::int64_t row) {
    kd_loss_row<kCe, kReverse>(rows, row, args.columns, pointers, w);
  });
}

Weights weights(const KdLossOptions& o, const KdLossRows& rows, const gpu::MeanScale& mean) {
  Weights w{};
  w.tau = static_cast<float>(o.tau);
  w.inv_tau = static_cast<float>(1 / o.tau);
  w.row = {static_cast<float>(o.kd_weight), static_cast<float>(o.reverse_kl_weight),
           static_cast<float>(o.jsd_weight),
           static_cast<float>(o.jsd_weight > 0 ? o.jsd_beta : 0.5),
           static_cast<float>(o.tvd_weight)};
  w.tckd = static_cast<float>(o.tckd_weight);
  w.nckd = static_cast<float>(o.nckd_weight);
  w.ce = static_cast<float>(o.ce_weight);
  w.grad_soft = o.tau;
  w.grad_forward_kl = o.kd_weight * o.tau;
  w.grad_ce = o.ce_weight;
  w.mean = mean;
  w.square = o.tau == 2 || o.tau == 4 ? 1.0f : 0.0f;
  w.fourth = o.tau == 4 ? 1.0f : 0.0f;
  w.with_ce = o.ce_weight > 0;
  w.with_jsd = o.jsd_weight > 0;
  w.with_dkd = o.tckd_weight > 0 || o.nckd_weight > 0;
  w.row_stats = rows.student_lse.defined() || rows.teacher_lse.defined() ||
                rows.student_entropy.defined() || rows.teacher_entropy.defined() ||
                rows.agreement.defined();
  return w;
}

RowPointers row_pointers(Tensor& row_loss, const Tensor& labels, const KdLossRows& rows) {
  const auto data = [](Tensor t) { return t.defined() ? t.data<float>() : nullptr; };
  return {labels.defined() ? labels.data<std::int32_t>() : nullptr,
          data(rows.weight),
          data(row_loss),
          data(rows.student_lse),
          data(rows.teacher_lse),
          data(rows.student_entropy),
          data(rows.teacher_entropy),
          data(rows.agreement)};
}

template <class Rows, class T>
auto kernel_for(const Weights& w) -> void (*)(kd::Args<T>, RowPointers, Weights) {
  const bool power = w.tau == 1 || w.tau == 2 || w.tau == 4;
  if (w.row.reverse_kl > 0)  // without cross-entropy too: a power costs little
    return power || !w.with_ce ? kd_loss_kernel<Ce::power, true, Rows, T>
                               : kd_loss_kernel<Ce::own, true, Rows, T>;
  if (!w.with_ce) return kd_loss_kernel<Ce::none, false, Rows, T>;
  return power ? kd_loss_kernel<Ce::power, false, Rows, T>
               : kd_loss_kernel<Ce::own, false, Rows, T>;
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels, const KdLossOptions& o,
                               const KdLossRows& rows) {
  const std::int64_t N = student.dim(0);
  if (N == 0) return;
  Tensor counted;
  const Weights w = weights(o, rows, gpu::mean_scale(counted, o.mean_over, labels, N));
  const RowPointers pointers = row_pointers(row_loss, labels, rows);
  gpu::visit_gpu_floating("kd_loss", student.dtype(), [&]<class T>(TypeTag<T>) {
    const kd::Args<T> args{{student.data<T>(), teacher.data<T>()},
                           dstudent.defined() ? dstudent.data<T>() : nullptr,
                           N,
                           static_cast<int>(student.dim(1))};
    if (w.with_jsd || w.with_dkd || w.row_stats || w.row.tvd > 0)
      return kd::mix<T>(args, pointers, w);
    const auto kernel_of = [&]<class Rows>(TypeTag<Rows>) { return kernel_for<Rows, T>(w); };
    gpu::launch_rows<true>("kd_loss", args, kernel_of, args, pointers, w);
  });
}

}  // namespace limbeck::cuda

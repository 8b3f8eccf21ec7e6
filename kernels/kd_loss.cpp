// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_loss.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/kd_loss_careful.h>
#include <limbeck/kernels/kd_loss_plain.h>
#include <limbeck/kernels/labels.h>

namespace limbeck {
namespace {

void check_options(const KdLossOptions& o) {
  LIMBECK_CHECK(!std::isnan(o.tau), "kd_loss: tau was not set");
  LIMBECK_CHECK(!std::isnan(o.kd_weight), "kd_loss: kd_weight was not set");
  LIMBECK_CHECK(!std::isnan(o.ce_weight), "kd_loss: ce_weight was not set");
  LIMBECK_CHECK(o.tau > 0 && std::isfinite(o.tau), "kd_loss: tau is ", o.tau, "; expected > 0");
  LIMBECK_CHECK(o.kd_weight >= 0, "kd_loss: kd_weight is ", o.kd_weight, "; expected >= 0");
  LIMBECK_CHECK(o.ce_weight >= 0, "kd_loss: ce_weight is ", o.ce_weight, "; expected >= 0");
  LIMBECK_CHECK(o.mean_over >= 0, "kd_loss: mean_over is ", o.mean_over, "; expected >= 0");
}

void check(const Tensor& row_loss, const Tensor& dstudent, const Tensor& student,
           const Tensor& teacher, const Tensor& labels, const KdLossOptions& options) {
  check_options(options);
  LIMBECK_CHECK(student.rank() == 2 && student.dim(1) >= 1, "kd_loss: student has shape ",
                student.shape(), "; expected (N,V) with V >= 1");
  LIMBECK_CHECK(is_floating(student.dtype()), "kd_loss: student is ", student.dtype(),
                "; expected a floating dtype");
  LIMBECK_CHECK(teacher.shape() == student.shape(), "kd_loss: teacher has shape ", teacher.shape(),
                ", student ", student.shape(), "; expected equal shapes (N,V)");
  LIMBECK_CHECK(teacher.dtype() == student.dtype(), "kd_loss: teacher is ", teacher.dtype(),
                ", student ", student.dtype(), "; expected equal dtypes");
  LIMBECK_CHECK(teacher.device() == student.device(), "kd_loss: teacher on ", teacher.device(),
                ", student on ", student.device(), "; expected one device");
  const std::int64_t N = student.dim(0);
  const DType loss_dtype = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  LIMBECK_CHECK(row_loss.shape() == Shape({N}) && row_loss.dtype() == loss_dtype &&
                    row_loss.device() == student.device(),
                "kd_loss: row_loss is ", row_loss.dtype(), row_loss.shape(), " on ",
                row_loss.device(), "; expected ", loss_dtype, "(", N, ") on ", student.device());
  LIMBECK_CHECK(!dstudent.defined() ||
                    (dstudent.shape() == student.shape() && dstudent.dtype() == student.dtype() &&
                     dstudent.device() == student.device()),
                "kd_loss: dstudent is ", dstudent.dtype(), dstudent.shape(), " on ",
                dstudent.device(), "; expected ", student.dtype(), student.shape(), " on ",
                student.device());
  if (labels.defined() || options.ce_weight > 0)
    check_labels("kd_loss", labels, N, student.dim(1), student.device());
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options) {
  check(row_loss, dstudent, student, teacher, labels, options);
  LIMBECK_DISPATCH(student.device(), kd_loss_forward_with_grad(row_loss, dstudent, student, teacher,
                                                               labels, options));
}

namespace cpu {
namespace {

using kd::RowResult;
using kd::Weights;

// Rows in lanes that are not `keep` become those of `other`.
template <class F, class Tile>
void take_lanes(const Tile& tile, const kd::PerLane<bool>& keep, F* gradient, RowResult<F>& r,
                const F* other_gradient, const RowResult<F>& other) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (keep[lane]) continue;
    r.kl[lane] = other.kl[lane];
    r.max_s[lane] = other.max_s[lane];
    r.sum_c[lane] = other.sum_c[lane];
    r.poison[lane] = other.poison[lane];
    for (std::int64_t i = lane; i < tile.size(); i += kLanes) gradient[i] = other_gradient[i];
  }
}

// Each row takes its own way, whatever rows share its tile: its bits do not depend on them.
template <class F, class Tile, class T>
F* compute_rows(const Tile& tile, F* scratch, const T* student, const T* teacher,
                const Weights<F>& w, RowResult<F>& r) {
  kd::PerLane<bool> good;
  F* gradient = kd::plain(tile, scratch, student, teacher, w, r, good);
  int count = 0;
  for (int lane = 0; lane < kLanes; ++lane) count += good[lane] ? 1 : 0;
  if (count == kLanes) return gradient;
  RowResult<F> careful;
  F* other =
      kd::careful(tile, scratch + kd::kPlainArrays * tile.size(), student, teacher, w, careful);
  if (count == 0) {
    r = careful;
    return other;
  }
  take_lanes(tile, good, gradient, r, other, careful);
  return gradient;
}

template <class F, class Tile, class T>
void kd_loss_tile(const Tile& tile, F* scratch, F* row_loss, T* dstudent, const T* student,
                  const T* teacher, const std::int32_t* label, const Weights<F>& w) {
  RowResult<F> r;
  const bool with_ce = w.with_ce && label != nullptr;
  F* gradient = compute_rows(tile, scratch, student, teacher, w, r);
  kd::PerLane<F> log_sum_c;
#pragma omp simd
  for (int lane = 0; lane < kLanes; ++lane) log_sum_c[lane] = math::log(r.sum_c[lane]);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    row_loss[row] = w.loss_kd * r.kl[row] + r.poison[row];
    if (!with_ce || label[row] == kIgnoreIndex) continue;
    const F logit = static_cast<F>(student[row * tile.V + label[row]]);
    row_loss[row] += w.loss_ce * (log_sum_c[row] + (r.max_s[row] - logit));
    gradient[tile.index(row, label[row])] -= w.grad_ce;
  }
  if (dstudent != nullptr) tile.store(dstudent, gradient);
  for (std::int64_t row = 0; label != nullptr && row < tile.count; ++row) {
    if (label[row] != kIgnoreIndex) continue;
    row_loss[row] = 0;
    for (std::int64_t v = 0; dstudent != nullptr && v < tile.V; ++v) dstudent[row * tile.V + v] = 0;
  }
}

template <class T>
void kd_loss(Tensor& row_loss, Tensor& dstudent, const Tensor& student, const Tensor& teacher,
             const Tensor& labels, const KdLossOptions& o) {
  using F = ComputeType<T>;
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const std::int32_t* label = labels.defined() ? labels.data<std::int32_t>() : nullptr;
  const double scale = mean_scale(o.mean_over, label, N);
  const Weights<F> w = {static_cast<F>(o.tau),
                        static_cast<F>(1 / o.tau),
                        static_cast<F>(o.kd_weight * o.tau * o.tau),
                        static_cast<F>(o.ce_weight),
                        static_cast<F>(o.kd_weight * o.tau * scale),
                        static_cast<F>(o.ce_weight * scale),
                        o.ce_weight > 0};
  F* loss = row_loss.data<F>();
  T* grad = dstudent.defined() ? dstudent.data<T>() : nullptr;
  const T* zs = student.data<T>();
  const T* zt = teacher.data<T>();
  for_each_row_tile<F>(N, V, kd::kPlainArrays + kd::kCarefulArrays,
                       [&](const auto& tile, std::int64_t n, F* buffer) {
                         kd_loss_tile(tile, buffer, loss + n,
                                      grad == nullptr ? nullptr : grad + n * V, zs + n * V,
                                      zt + n * V, label == nullptr ? nullptr : label + n, w);
                       });
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options) {
  visit_floating(student.dtype(), [&](auto tag) {
    kd_loss<typename decltype(tag)::type>(row_loss, dstudent, student, teacher, labels, options);
  });
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_loss.h>

#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/kd_loss_tile.h>
#include <limbeck/kernels/labels.h>

namespace limbeck {
namespace {

void check_weight(const char* name, double weight) {
  LIMBECK_CHECK(!std::isnan(weight), "kd_loss: ", name, " was not set");
  LIMBECK_CHECK(weight >= 0 && std::isfinite(weight), "kd_loss: ", name, " is ", weight,
                "; expected >= 0");
}

void check_options(const KdLossOptions& o) {
  LIMBECK_CHECK(!std::isnan(o.tau), "kd_loss: tau was not set");
  LIMBECK_CHECK(o.tau >= 1e-6 && o.tau <= 1e6, "kd_loss: tau is ", o.tau, "; expected 1e-6 to 1e6");
  check_weight("kd_weight", o.kd_weight);
  check_weight("ce_weight", o.ce_weight);
  check_weight("reverse_kl_weight", o.reverse_kl_weight);
  check_weight("jsd_weight", o.jsd_weight);
  check_weight("tvd_weight", o.tvd_weight);
  check_weight("tckd_weight", o.tckd_weight);
  check_weight("nckd_weight", o.nckd_weight);
  LIMBECK_CHECK(o.jsd_weight == 0 || (o.jsd_beta > 0 && o.jsd_beta < 1), "kd_loss: jsd_beta is ",
                o.jsd_beta, "; expected between 0 and 1");
  LIMBECK_CHECK(o.mean_over >= 0, "kd_loss: mean_over is ", o.mean_over, "; expected >= 0");
}

bool needs_labels(const KdLossOptions& o) {
  return o.ce_weight > 0 || o.tckd_weight > 0 || o.nckd_weight > 0;
}

// One number per row of the logits, in the dtype of losses.
void check_row(const char* name, const Tensor& t, const Tensor& student) {
  const std::int64_t N = student.dim(0);
  const DType dtype = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  LIMBECK_CHECK(t.shape() == Shape({N}) && t.dtype() == dtype && t.device() == student.device(),
                "kd_loss: ", name, " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ",
                dtype, "(", N, ") on ", student.device());
}

void check_rows(const KdLossRows& rows, const Tensor& student) {
  const std::pair<const char*, const Tensor*> named[] = {{"weight", &rows.weight},
                                                         {"student_lse", &rows.student_lse},
                                                         {"teacher_lse", &rows.teacher_lse},
                                                         {"student_entropy", &rows.student_entropy},
                                                         {"teacher_entropy", &rows.teacher_entropy},
                                                         {"agreement", &rows.agreement}};
  for (const auto& [name, tensor] : named)
    if (tensor->defined()) check_row(name, *tensor, student);
}

void check(const Tensor& row_loss, const Tensor& dstudent, const Tensor& student,
           const Tensor& teacher, const Tensor& labels, const KdLossOptions& options,
           const KdLossRows& rows) {
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
  check_row("row_loss", row_loss, student);
  LIMBECK_CHECK(!dstudent.defined() ||
                    (dstudent.shape() == student.shape() && dstudent.dtype() == student.dtype() &&
                     dstudent.device() == student.device()),
                "kd_loss: dstudent is ", dstudent.dtype(), dstudent.shape(), " on ",
                dstudent.device(), "; expected ", student.dtype(), student.shape(), " on ",
                student.device());
  if (labels.defined() || needs_labels(options))
    check_labels("kd_loss", labels, student.dim(0), student.dim(1), student.device());
  check_rows(rows, student);
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options, const KdLossRows& rows) {
  check(row_loss, dstudent, student, teacher, labels, options, rows);
  LIMBECK_DISPATCH(student.device(), kd_loss_forward_with_grad(row_loss, dstudent, student, teacher,
                                                               labels, options, rows));
}

namespace cpu {
namespace {

using kd::PerLane;
using kd::RowResult;

/// What a tile reads and writes per row, from its first row on; null where there is nothing.
template <class F>
struct RowPointers {
  const std::int32_t* label;
  const F* weight;
  F *loss, *student_lse, *teacher_lse, *student_entropy, *teacher_entropy, *agreement;

  RowPointers(Tensor& row_loss, const Tensor& labels, const KdLossRows& rows)
      : label(labels.defined() ? labels.data<std::int32_t>() : nullptr),
        weight(data(rows.weight)),
        loss(row_loss.data<F>()),
        student_lse(data(rows.student_lse)),
        teacher_lse(data(rows.teacher_lse)),
        student_entropy(data(rows.student_entropy)),
        teacher_entropy(data(rows.teacher_entropy)),
        agreement(data(rows.agreement)) {}

  bool left_out(std::int64_t n) const {
    return (label != nullptr && label[n] == kIgnoreIndex) || (weight != nullptr && weight[n] == 0);
  }
  void store_statistics(std::int64_t n, const RowResult<F>& r, std::int64_t row) const {
    if (student_lse != nullptr) student_lse[n] = r.student_lse[row];
    if (teacher_lse != nullptr) teacher_lse[n] = r.teacher_lse[row];
    if (student_entropy != nullptr) student_entropy[n] = r.student_entropy[row];
    if (teacher_entropy != nullptr) teacher_entropy[n] = r.teacher_entropy[row];
    if (agreement != nullptr) agreement[n] = r.agreement[row];
  }

 private:
  static F* data(Tensor t) { return t.defined() ? t.data<F>() : nullptr; }
};

// Rows in lanes that are not `keep` become those of `other`.
template <class F, class Tile>
void take_lanes(const Tile& tile, const PerLane<bool>& keep, F* gradient, RowResult<F>& r,
                const F* other_gradient, const RowResult<F>& other) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (keep[lane]) continue;
    r.soft[lane] = other.soft[lane];
    r.max_s[lane] = other.max_s[lane];
    r.log_sum_c[lane] = other.log_sum_c[lane];
    r.poison[lane] = other.poison[lane];
    for (std::int64_t i = lane; gradient != nullptr && i < tile.size(); i += kLanes)
      gradient[i] = other_gradient[i];
  }
}

template <class T>
kd::Ahead ahead(const T* x) {
  return {reinterpret_cast<const char*>(x), x != nullptr ? std::int64_t{sizeof(T)} : 0};
}

// The rows of a tile; what must be copied goes to `staged`.
template <class F, bool kLong, int kWidth, class T>
kd::LogitRows<F> logit_rows(const RowTile<kLong, kWidth>& tile, F* staged, const T* x) {
  const kd::Ahead next = ahead(x + tile.kRows * tile.V);
  if constexpr (kLong && std::is_same_v<F, T>) {
    const std::int64_t whole = tile.V / kLanes * kLanes;
    tile.load(staged, x, std::numeric_limits<F>::lowest(), whole);
    return {x, staged, whole, next};
  } else {
    tile.load(staged, x);
    return {nullptr, staged, tile.size(), next};
  }
}

// Returns the gradient, in scratch, but for the cross-entropy's term of the label.
template <class F, bool kLong, int kWidth, class T>
F* careful_rows(const RowTile<kLong, kWidth>& tile, F* scratch, const T* student, const T* teacher,
                const kd::Weights<F>& w, const std::int32_t* label, RowResult<F>& r) {
  tile.load(scratch, student);
  tile.load(scratch + tile.size(), teacher);
  kd::careful(RowTile<kLong>{tile.V, tile.count}, scratch, w, label, r);
  return scratch;
}

// A row's gradient can be written where it belongs, without a stop in scratch.
template <class F, bool kLong, class T>
F* in_place(T* dstudent, F* scratch) {
  if constexpr (kLong && std::is_same_v<F, T>)
    return dstudent;
  else
    return dstudent != nullptr ? scratch : nullptr;
}

// As careful_rows, but the gradient may be in dstudent already. Each row takes its own way,
// whatever rows share its tile: its bits do not depend on them.
template <class F, bool kLong, int kWidth, class T>
F* compute_rows(const RowTile<kLong, kWidth>& tile, F* scratch, T* dstudent, const T* student,
                const T* teacher, const kd::Weights<F>& w, const std::int32_t* label,
                RowResult<F>& r) {
  F* more_scratch = scratch + kd::kPlainArrays * tile.size();
  if (w.mixed) return careful_rows(tile, more_scratch, student, teacher, w, label, r);
  PerLane<bool> good;
  F* gradient = in_place<F, kLong>(dstudent, scratch + tile.size());
  kd::plain(RowTile<kLong>{tile.V, tile.count}, scratch, gradient, ahead(dstudent),
            logit_rows(tile, more_scratch, student),
            logit_rows(tile, more_scratch + tile.size(), teacher), w, r, good);
  int count = 0;
  for (int lane = 0; lane < kLanes; ++lane) count += good[lane] ? 1 : 0;
  if (count == kLanes) return gradient;
  RowResult<F> careful;
  F* other = careful_rows(tile, more_scratch, student, teacher, w, label, careful);
  if (count == 0) {
    r = careful;
    return other;
  }
  take_lanes(tile, good, gradient, r, other, careful);
  return gradient;
}

// Adds the label's term of the cross-entropy, and weighs the row. gradient may be null.
template <class F, class Tile>
void finish_row(const Tile& tile, F* gradient, const RowPointers<F>& rows, const kd::Weights<F>& w,
                const RowResult<F>& r, F at_label, std::int64_t n, std::int64_t row) {
  F loss = w.tau * w.tau * r.soft[row] + r.poison[row];
  if (w.with_ce && rows.label[n] >= 0) {
    loss += w.ce * (r.log_sum_c[row] + (r.max_s[row] - at_label));
    if (gradient != nullptr) gradient[tile.index(row, rows.label[n])] -= w.grad_ce;
  }
  rows.loss[n] = loss;
  if (rows.weight == nullptr) return;
  rows.loss[n] *= rows.weight[n];
  for (std::int64_t v = 0; gradient != nullptr && v < tile.V; ++v)
    gradient[tile.index(row, v)] *= rows.weight[n];
}

template <class F, class Tile, class T>
void kd_loss_tile(const Tile& tile, F* scratch, const RowPointers<F>& rows, std::int64_t n,
                  T* dstudent, const T* student, const T* teacher, const kd::Weights<F>& w) {
  RowResult<F> r;
  PerLane<F> at_label = {};  // before dstudent, which may be student, is written
  for (std::int64_t row = 0; w.with_ce && row < tile.count; ++row)
    if (rows.label[n + row] >= 0)
      at_label[row] = static_cast<F>(student[row * tile.V + rows.label[n + row]]);
  const std::int32_t* label = rows.label != nullptr ? rows.label + n : nullptr;
  F* gradient = compute_rows(tile, scratch, dstudent, student, teacher, w, label, r);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    finish_row(tile, gradient, rows, w, r, at_label[row], n + row, row);
    if (w.row_stats) rows.store_statistics(n + row, r, row);
  }
  if (dstudent != nullptr && static_cast<const void*>(gradient) != dstudent)
    tile.store(dstudent, gradient);
  for (std::int64_t row = 0; row < tile.count; ++row) {
    if (!rows.left_out(n + row)) continue;
    rows.loss[n + row] = 0;
    for (std::int64_t v = 0; dstudent != nullptr && v < tile.V; ++v) dstudent[row * tile.V + v] = 0;
  }
}

template <class F>
kd::Weights<F> weights(const KdLossOptions& o, const KdLossRows& rows, double scale) {
  kd::Weights<F> w;
  w.tau = static_cast<F>(o.tau);
  w.inv_tau = static_cast<F>(1 / o.tau);
  w.row = {static_cast<F>(o.kd_weight), static_cast<F>(o.reverse_kl_weight),
           static_cast<F>(o.jsd_weight), static_cast<F>(o.jsd_weight > 0 ? o.jsd_beta : 0.5),
           static_cast<F>(o.tvd_weight)};
  w.tckd = static_cast<F>(o.tckd_weight);
  w.nckd = static_cast<F>(o.nckd_weight);
  w.ce = static_cast<F>(o.ce_weight);
  w.grad_soft = static_cast<F>(o.tau * scale);
  w.grad_forward_kl = static_cast<F>(o.kd_weight * o.tau * scale);
  w.grad_ce = static_cast<F>(o.ce_weight * scale);
  w.with_ce = o.ce_weight > 0;
  w.with_jsd = o.jsd_weight > 0;
  w.with_dkd = o.tckd_weight > 0 || o.nckd_weight > 0;
  w.row_stats = rows.student_lse.defined() || rows.teacher_lse.defined() ||
                rows.student_entropy.defined() || rows.teacher_entropy.defined() ||
                rows.agreement.defined();
  w.mixed = w.with_jsd || w.with_dkd || w.row_stats || o.reverse_kl_weight > 0 || o.tvd_weight > 0;
  return w;
}

template <class T>
void kd_loss(Tensor& row_loss, Tensor& dstudent, const Tensor& student, const Tensor& teacher,
             const Tensor& labels, const KdLossOptions& o, const KdLossRows& rows) {
  using F = ComputeType<T>;
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const RowPointers<F> pointers(row_loss, labels, rows);
  const kd::Weights<F> w = weights<F>(o, rows, mean_scale(o.mean_over, pointers.label, N));
  T* grad = dstudent.defined() ? dstudent.data<T>() : nullptr;
  const T* zs = student.data<T>();
  const T* zt = teacher.data<T>();
  for_each_row_tile<F>(N, V, kd::kPlainArrays + kd::kCarefulArrays,
                       [&](const auto& tile, std::int64_t n, F* buffer) {
                         kd_loss_tile(tile, buffer, pointers, n,
                                      grad == nullptr ? nullptr : grad + n * V, zs + n * V,
                                      zt + n * V, w);
                       });
}

}  // namespace

void kd_loss_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const Tensor& teacher, const Tensor& labels,
                               const KdLossOptions& options, const KdLossRows& rows) {
  visit_floating(student.dtype(), [&](auto tag) {
    kd_loss<typename decltype(tag)::type>(row_loss, dstudent, student, teacher, labels, options,
                                          rows);
  });
}

}  // namespace cpu
}  // namespace limbeck

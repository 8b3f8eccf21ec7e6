// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_topk.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/kd_topk_tile.h>
#include <limbeck/kernels/labels.h>
#include <limbeck/kernels/log_sum.h>
#include <limbeck/kernels/masked_rows.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_softmax.h>
#include <limbeck/kernels/topk.h>

namespace limbeck {
namespace {

void check_weight(const char* name, double weight) {
  LIMBECK_CHECK(!std::isnan(weight), "kd_topk: ", name, " was not set");
  LIMBECK_CHECK(weight >= 0, "kd_topk: ", name, " is ", weight, "; expected >= 0");
}

void check_options(const KdLossOptions& o) {
  LIMBECK_CHECK(!std::isnan(o.tau), "kd_topk: tau was not set");
  LIMBECK_CHECK(o.tau >= 1e-6 && o.tau <= 1e6, "kd_topk: tau is ", o.tau, "; expected 1e-6 to 1e6");
  check_weight("kd_weight", o.kd_weight);
  check_weight("ce_weight", o.ce_weight);
  LIMBECK_CHECK(o.mean_over >= 0, "kd_topk: mean_over is ", o.mean_over, "; expected >= 0");
  for (const auto& [name, weight] : {std::pair{"reverse_kl_weight", o.reverse_kl_weight},
                                     {"jsd_weight", o.jsd_weight},
                                     {"tvd_weight", o.tvd_weight},
                                     {"tckd_weight", o.tckd_weight},
                                     {"nckd_weight", o.nckd_weight}})
    LIMBECK_CHECK(weight == 0, "kd_topk: ", name, " is ", weight,
                  "; expected 0: against a sparse teacher there is forward KL only");
}

void check_tensor(const char* what, const Tensor& t, const Shape& shape, DType dtype,
                  Device device) {
  LIMBECK_CHECK(t.defined(), "kd_topk: ", what, " is undefined; expected ", dtype, shape);
  LIMBECK_CHECK(t.shape() == shape && t.dtype() == dtype && t.device() == device, "kd_topk: ", what,
                " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ", dtype, shape,
                " on ", device);
}

// In [0,V) and distinct in each row.
void check_indices(const Tensor& indices, std::int64_t V) {
  const std::int64_t N = indices.dim(0), K = indices.dim(1);
  const std::int32_t* index = indices.data<std::int32_t>();
  Tensor rows = Tensor::zeros({V}, DType::i64);  // that a class was last seen in, from 1
  std::int64_t* seen = rows.data<std::int64_t>();
  for (std::int64_t i = 0; i < N * K; ++i) {
    const std::int64_t row = i / K + 1;
    LIMBECK_CHECK(index[i] >= 0 && index[i] < V, "kd_topk: index ", i % K, " of row ", row - 1,
                  " is ", index[i], "; expected 0 to ", V - 1);
    LIMBECK_CHECK(seen[index[i]] != row, "kd_topk: row ", row - 1, " has index ", index[i],
                  " twice; expected distinct ones");
    seen[index[i]] = row;
  }
}

void check(const Tensor& row_loss, const Tensor& dstudent, const Tensor& student,
           const SparseTeacher& teacher, const Tensor& labels, const KdLossOptions& options) {
  check_options(options);
  check_rows("kd_topk", "student", student);
  const std::int64_t N = student.dim(0), V = student.dim(1);
  const DType dtype = student.dtype() == DType::f64 ? DType::f64 : DType::f32;
  LIMBECK_CHECK(teacher.indices.defined() && teacher.indices.rank() == 2,
                "kd_topk: indices has shape ", teacher.indices.shape(), "; expected (N,K)");
  const std::int64_t K = teacher.indices.dim(1);
  LIMBECK_CHECK(K >= 1 && K <= V && K <= kMaxTopk, "kd_topk: K is ", K, ", student has shape ",
                student.shape(), "; expected 1 <= K <= V and K <= ", kMaxTopk);
  check_tensor("indices", teacher.indices, {N, K}, DType::i32, student.device());
  check_tensor("logits", teacher.logits, {N, K}, dtype, student.device());
  if (K < V) check_tensor("rest_lse", teacher.rest_lse, {N}, dtype, student.device());
  check_tensor("row_loss", row_loss, {N}, dtype, student.device());
  if (dstudent.defined())
    check_tensor("dstudent", dstudent, student.shape(), student.dtype(), student.device());
  if (labels.defined() || options.ce_weight > 0)
    check_labels("kd_topk", labels, N, V, student.device());
  if (!student.device().is_cuda()) check_indices(teacher.indices, V);
}

}  // namespace

void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& options) {
  check(row_loss, dstudent, student, teacher, labels, options);
  LIMBECK_DISPATCH(student.device(), kd_topk_forward_with_grad(row_loss, dstudent, student, teacher,
                                                               labels, options));
}

namespace cpu {
namespace {

using kd_topk::Outcomes;

struct Scales {
  double tau, loss_kd, loss_ce, grad_kd, grad_ce;
};

/// Rows from n on of what the loss is taken of.
template <class F, class T>
struct Rows {
  F* loss;
  T* dstudent;  // may be null
  const T* student;
  const std::int32_t* index;
  const F* logits;
  const F* rest_lse;
  const std::int32_t* label;  // may be null
};

/// Exponentials of the classes that are not stored, at tau and at 1 (c, sum_c).
template <class F>
struct Rest {
  F *e, *c;
  RowSoftmax<F> at_tau, at_one;
};

template <class F, class Tile, class T>
void sum_rest(const Tile& tile, F* scratch, const Rows<F, T>& rows, std::int64_t K,
              const Scales& scales, Rest<F>& rest) {
  const MaskedInput x(tile, rows.student, scratch, scratch + tile.size(), rows.index, K);
  find_max(tile, x, rest.at_tau);
  rest.at_one = rest.at_tau;
  add_exponentials<Keep::yes, AddIn::f64>(tile, x, static_cast<F>(1 / scales.tau), rest.at_tau,
                                          rest.e);
  if (scales.loss_ce > 0 && rest.c != rest.e)
    add_exponentials<Keep::yes, AddIn::own>(tile, x, F(1), rest.at_one, rest.c);
  else
    rest.at_one = rest.at_tau;
}

/// Puts the outcomes of one row into the tile; returns the student's largest logit.
template <class F, class Tile, class T>
F gather(const Tile& outcomes, const Outcomes<F>& o, const Rows<F, T>& rows, std::int64_t row,
         std::int64_t V, std::int64_t K, const Rest<F>& rest, double inv_tau) {
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  const T* student = rows.student + row * V;
  const std::int32_t* index = rows.index + row * K;
  const F* logits = rows.logits + row * K;
  F max = rest.at_tau.max[row];
  double max_s = kLowest, max_t = kLowest, rest_s = kLowest, rest_t = kLowest;
  if (K < V) {
    rest_s = max_s = log_sum_exp(max, rest.at_tau.sum[row], 1 / inv_tau);
    rest_t = max_t = kd_topk::teacher_rest(rows.rest_lse[row], rest_s);
  }
  for (std::int64_t k = 0; k < K; ++k) {
    const F zs = static_cast<F>(student[index[k]]);
    const double s = zs * inv_tau, t = logits[k] * inv_tau;
    max = zs > max ? zs : max;
    max_s = s > max_s ? s : max_s;
    max_t = t > max_t ? t : max_t;
  }
  const auto put = [&](std::int64_t k, double s, double t, F z) {
    const auto outcome = kd_topk::outcome<F>(s, t, max_s, max_t);
    const std::int64_t i = outcomes.index(row, k);
    o.s[i] = outcome.s;
    o.t[i] = outcome.t;
    o.d[i] = outcome.d;
    o.z[i] = z;
  };
  for (std::int64_t k = 0; k < K; ++k) {
    const F zs = static_cast<F>(student[index[k]]);
    put(k, zs * inv_tau, logits[k] * inv_tau, zs - max);
  }
  if (K < V) put(K, rest_s, rest_t, -std::numeric_limits<F>::infinity());
  return max;
}

/// A row's gradient of class v is kd e_v + ce c_v but for the stored classes and the label.
template <class F>
struct RestGradient {
  F kd[kLanes], ce[kLanes];
};

template <class F, class Tile, class T>
void write_rest(const Tile& tile, const Rest<F>& rest, const RestGradient<F>& g, T* dstudent) {
  const TileOutput out(tile, dstudent, rest.e);
  tile.for_each_block([&](std::int64_t begin, std::int64_t end) {
    F* to = out.block(begin, end);
    for (std::int64_t i = 0; i < end - begin; i += kLanes) {
#pragma omp simd
      for (int lane = 0; lane < kLanes; ++lane)
        to[i + lane] =
            math::fma(g.kd[lane], rest.e[begin + i + lane], g.ce[lane] * rest.c[begin + i + lane]);
    }
  });
  out.finish();
}

/// What is read of a row before its gradient may overwrite it.
template <class F>
struct AtLabel {
  F z, e, c;
};
template <class F, class Tile, class T>
AtLabel<F> at_label(const Tile& tile, const Rows<F, T>& rows, std::int64_t row, bool with_rest,
                    const Rest<F>& rest) {
  if (rows.label == nullptr || rows.label[row] == kIgnoreIndex) return {};
  const std::int64_t i = tile.index(row, rows.label[row]);
  const F z = static_cast<F>(rows.student[row * tile.V + rows.label[row]]);
  return with_rest ? AtLabel<F>{z, rest.e[i], rest.c[i]} : AtLabel<F>{z, 0, 0};
}

/// The label's gradient, then those of the stored classes, which may be the label's.
template <class F, class T>
void write_row(T* dstudent, std::int32_t label, F label_gradient, const std::int32_t* index,
               const F* stored, std::int64_t step, std::int64_t K, F grad_ce) {
  if (label >= 0) dstudent[label] = static_cast<T>(label_gradient - grad_ce);
  for (std::int64_t k = 0; k < K; ++k)
    dstudent[index[k]] =
        static_cast<T>(index[k] == label ? stored[k * step] - grad_ce : stored[k * step]);
}

template <class F, class Tile, class T>
void kd_topk_tile(const Tile& tile, F* scratch, const Rows<F, T>& rows, std::int64_t K,
                  const Scales& scales) {
  const std::int64_t V = tile.V, size = tile.size();
  const bool with_rest = K<V, with_ce = scales.loss_ce> 0;
  Rest<F> rest;
  rest.e = scratch + 2 * size;
  rest.c = with_ce && scales.tau != 1 ? scratch + 3 * size : rest.e;
  for (int lane = 0; lane < kLanes; ++lane) {
    rest.at_tau.max[lane] = -std::numeric_limits<F>::infinity();
    rest.at_tau.sum[lane] = 0;
  }
  rest.at_one = rest.at_tau;
  if (with_rest) sum_rest(tile, scratch, rows, K, scales, rest);
  const Tile outcomes{with_rest ? K + 1 : K, tile.count};
  F* array = scratch + 4 * size;
  const Outcomes<F> o = {
      array, array + size, array + 2 * size, array + 3 * size, array + 4 * size, array + 5 * size};
  clear(outcomes, o);
  F max[kLanes], kl[kLanes], sum_c[kLanes], zero[kLanes] = {};
  for (std::int64_t row = 0; row < tile.count; ++row)
    max[row] = gather(outcomes, o, rows, row, V, K, rest, 1 / scales.tau);
  solve(outcomes, o, kl);
  if (with_ce) outcomes.exp_and_sum(o.z, sum_c, o.z, zero);
  RestGradient<F> g;
  AtLabel<F> at[kLanes];
  for (std::int64_t row = 0; row < tile.count; ++row) {
    const F rest_over_max = math::exp(rest.at_one.max[row] - max[row]);
    at[row] = at_label(tile, rows, row, with_rest, rest);
    F loss = scales.loss_kd > 0 ? static_cast<F>(scales.loss_kd) * kl[row] : F(0);
    F over_sum = 0;
    if (with_ce) {
      const F sum = sum_c[row] + static_cast<F>(rest.at_one.sum[row]) * rest_over_max;
      over_sum = static_cast<F>(scales.grad_ce) / sum;
      loss += static_cast<F>(scales.loss_ce) * (math::log(sum) + (max[row] - at[row].z));
    }
    for (std::int64_t k = 0; k < outcomes.V; ++k) {
      const std::int64_t i = outcomes.index(row, k);
      const F ce = with_ce ? over_sum * o.z[i] : F(0);
      o.y[i] = math::fma(static_cast<F>(scales.grad_kd), o.y[i], ce);
    }
    rows.loss[row] = loss;
    const double sum = rest.at_tau.sum[row];
    const F of_rest = with_rest ? o.y[outcomes.index(row, K)] : F(0);
    g.kd[row] = static_cast<F>(of_rest / (sum == 0 ? 1 : sum));
    g.ce[row] = over_sum * rest_over_max;
  }
  if (rows.dstudent != nullptr) {
    for (int lane = 1; Tile::kRows == 1 && lane < kLanes; ++lane) {
      g.kd[lane] = g.kd[0];
      g.ce[lane] = g.ce[0];
    }
    if (with_rest) write_rest(tile, rest, g, rows.dstudent);
    for (std::int64_t row = 0; row < tile.count; ++row)
      write_row(rows.dstudent + row * V, with_ce ? rows.label[row] : kIgnoreIndex,
                math::fma(g.kd[row], at[row].e, g.ce[row] * at[row].c), rows.index + row * K,
                o.y + outcomes.index(row, 0), outcomes.index(0, 1), K,
                static_cast<F>(scales.grad_ce));
  }
  for (std::int64_t row = 0; rows.label != nullptr && row < tile.count; ++row)
    if (rows.label[row] == kIgnoreIndex) {
      rows.loss[row] = 0;
      for (std::int64_t v = 0; rows.dstudent != nullptr && v < V; ++v)
        rows.dstudent[row * V + v] = T(0);
    }
}

template <class T>
void run(Tensor& row_loss, Tensor& dstudent, const Tensor& student, const SparseTeacher& teacher,
         const Tensor& labels, const KdLossOptions& options) {
  using F = ComputeType<T>;
  const std::int64_t N = student.dim(0), V = student.dim(1), K = teacher.indices.dim(1);
  const std::int32_t* label = labels.defined() ? labels.data<std::int32_t>() : nullptr;
  const double mean = mean_scale(options.mean_over, label, N);
  const Scales scales = {options.tau, options.kd_weight * options.tau * options.tau,
                         options.ce_weight, options.kd_weight * options.tau * mean,
                         options.ce_weight * mean};
  F* loss = row_loss.data<F>();
  T* gradient = dstudent.defined() ? dstudent.data<T>() : nullptr;
  const T* zs = student.data<T>();
  const std::int32_t* index = teacher.indices.data<std::int32_t>();
  const F* logits = teacher.logits.data<F>();
  const F* rest_lse = K < V ? teacher.rest_lse.data<F>() : nullptr;
  for_each_row_tile<F>(N, V, 10, [&](const auto& tile, std::int64_t n, F* scratch) {
    const Rows<F, T> rows = {loss + n,
                             gradient == nullptr ? nullptr : gradient + n * V,
                             zs + n * V,
                             index + n * K,
                             logits + n * K,
                             rest_lse == nullptr ? nullptr : rest_lse + n,
                             label == nullptr ? nullptr : label + n};
    kd_topk_tile(tile, scratch, rows, K, scales);
  });
}

}  // namespace

void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& options) {
  visit_floating(student.dtype(), [&](auto tag) {
    run<typename decltype(tag)::type>(row_loss, dstudent, student, teacher, labels, options);
  });
}

}  // namespace cpu
}  // namespace limbeck

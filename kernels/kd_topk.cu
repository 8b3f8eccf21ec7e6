// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kd_topk.h>

#include <limbeck/kernels/kd_topk_outcome.h>
#include <limbeck/kernels/log_sum.h>
#include <limbeck/kernels/mean_scale.cuh>
#include <limbeck/kernels/rest_softmax.cuh>

namespace limbeck::cuda {
namespace {

// As on the CPU: see there for the numbers, and kd_topk_outcome.h.
using kd_topk::Outcome;

/// A bit per class in the shared memory of a block, one row's.
constexpr std::int64_t kMaxClasses = std::int64_t{1} << 18;

struct Teacher {
  const std::int32_t* indices;
  const float* logits;
  const float* rest_lse;
  int K;
};

struct Scales {
  double tau;
  float inv_tau, loss_kd, loss_ce;
  double grad_kd, grad_ce;  // not yet over the mean
  gpu::MeanScale mean;
};

/// Shared by the threads of a row.
struct Scratch {
  unsigned* stored;  // a bit per class
  float* gradient;   // of the K stored classes and, last, of the rest as a whole
};
LIMBECK_HD int mask_words(int V) { return (V + 31) / 32; }
LIMBECK_HD int scratch_words(int V, int K) { return mask_words(V) + K + 1; }

/// Marks the stored classes; returns NaN when an index is out of range, else 0.
template <class Rows>
LIMBECK_DEVICE float mark_stored(const Rows& rows, const Teacher& t, int V, unsigned* stored) {
  using Team = gpu::RowTeam<Rows>;
  for (int i = Team::thread(); i < mask_words(V); i += Team::kThreads) stored[i] = 0;
  Team::sync();
  float poison[1] = {0};
  for (int k = Team::thread(); k < t.K; k += Team::kThreads) {
    const int v = t.indices[k];
    if (0 <= v && v < V)
      gpu::atomic_add(&stored[v / 32], 1u << v % 32);
    else
      poison[0] = __builtin_nanf("");
  }
  rows.reduce(poison, gpu::Sum{});
  Team::sync();
  return poison[0];
}

/// What is the same for all outcomes of a row.
struct Row {
  int V, K, outcomes;
  double rest_s, rest_t;  // log-weights of the rest
  double max_s, max_t;    // of the outcomes
  float max;              // of the student's logits
};

/// The student's logit of a stored class; the index has been checked, or the row is lost anyway.
template <class Rows>
LIMBECK_DEVICE float student_logit(const Rows& rows, const Teacher& t, int V, int k) {
  const int v = t.indices[k];
  return 0 <= v && v < V ? rows.at(0, v) : 0.0f;
}

template <class Rows>
LIMBECK_DEVICE void find_maxima(const Rows& rows, const Teacher& t, double inv_tau, Row& row) {
  using Team = gpu::RowTeam<Rows>;
  double max[2] = {row.rest_s, row.rest_t};
  float top[1] = {row.max};
  for (int k = Team::thread(); k < row.K; k += Team::kThreads) {
    const float z = student_logit(rows, t, row.V, k);
    max[0] = gpu::Max{}(max[0], z * inv_tau);
    max[1] = gpu::Max{}(max[1], t.logits[k] * inv_tau);
    top[0] = gpu::Max{}(top[0], z);
  }
  rows.reduce(max, gpu::Max{});
  rows.reduce(top, gpu::Max{});
  row.max_s = max[0];
  row.max_t = max[1];
  row.max = top[0];
}

/// Outcome k of the row; z is the student's logit less the row's largest, -inf for the rest.
template <class Rows>
LIMBECK_DEVICE Outcome<float> outcome(const Rows& rows, const Teacher& t, double inv_tau,
                                      const Row& row, int k, float& z) {
  double log_s = row.rest_s, log_t = row.rest_t;
  z = -__builtin_huge_valf();
  if (k < row.K) {
    const float zs = student_logit(rows, t, row.V, k);
    log_s = zs * inv_tau;
    log_t = t.logits[k] * inv_tau;
    z = zs - row.max;
  }
  return kd_topk::outcome<float>(log_s, log_t, row.max_s, row.max_t);
}

struct Sums {
  float e, y, c;
};
template <class Rows>
LIMBECK_DEVICE Sums sum_weights(const Rows& rows, const Teacher& t, double inv_tau, const Row& row,
                                float raise) {
  using Team = gpu::RowTeam<Rows>;
  float sum[3] = {0, 0, 0};
  for (int k = Team::thread(); k < row.outcomes; k += Team::kThreads) {
    float z;
    const auto w = kd_topk::weights(outcome(rows, t, inv_tau, row, k, z), raise);
    sum[0] += w.e;
    sum[1] += w.y;
    sum[2] += math::exp(z);
  }
  rows.reduce(sum, gpu::Sum{});
  return {sum[0], sum[1], sum[2]};
}

/// What the gradient is made of: with p the divergence's part, ps - pt, and q the cross-entropy's.
struct Gradient {
  float kd, ce, label;  // grad_kd, grad_ce / sum c, grad_ce
};

/// Writes the outcomes' gradients to shared memory and returns the row's KL.
template <class Rows>
LIMBECK_DEVICE float finish_outcomes(const Rows& rows, const Teacher& t, double inv_tau,
                                     const Row& row, const Sums& sums, float raise,
                                     const Gradient& g, float* gradient) {
  using Team = gpu::RowTeam<Rows>;
  const float A = sums.y / sums.e, k = 1.0f / (sums.e + sums.y), log_sums = math::log1p(A) + raise;
  float kl[1] = {0};
  for (int i = Team::thread(); i < row.outcomes; i += Team::kThreads) {
    float z;
    const auto o = outcome(rows, t, inv_tau, row, i, z);
    const auto c = kd_topk::share(kd_topk::weights(o, raise), o.d, A, k, log_sums);
    kl[0] += c.kl;
    gradient[i] = math::fma(g.kd, c.ps_minus_pt, g.ce * math::exp(z));
  }
  rows.reduce(kl, gpu::Sum{});
  Team::sync();
  return kl[0];
}

/// The stored classes' gradients, after all else, which has read their logits or written there.
template <class Rows, class T>
LIMBECK_DEVICE void write_stored(const Teacher& t, const Row& row, int label, float grad_label,
                                 const float* gradient, T* out) {
  using Team = gpu::RowTeam<Rows>;
  Team::sync();
  for (int k = Team::thread(); k < row.K; k += Team::kThreads) {
    const int v = t.indices[k];
    if (0 <= v && v < row.V) out[v] = T(v == label ? gradient[k] - grad_label : gradient[k]);
  }
}

/// As many threads as rows.cuh gives a row; reads N*V and writes N*V elements, rows longer than
/// 1024 are read three or four times, mostly from L2; N*K gathers, four times.
template <bool kOwnCe, class Rows, class Args>
LIMBECK_KERNEL kd_topk_kernel(float* row_loss, Args args, Teacher t, const std::int32_t* labels,
                              Scales w) {
  const std::int64_t n = Rows::row();
  if (n >= args.rows) return;
  LIMBECK_DYNAMIC_SHARED(unsigned, shared);
  const int V = args.columns, K = t.K;
  unsigned* mine = shared + gpu::RowTeam<Rows>::slot() * scratch_words(V, K);
  const Scratch scratch{mine, reinterpret_cast<float*>(mine + mask_words(V))};
  const Rows rows(args, n);
  const std::int32_t label = labels ? labels[n] : -1;
  if (label == kIgnoreIndex) {
    rows.write([](const auto&, int) { return 0.0f; });
    if (rows.leader()) row_loss[n] = 0;
    return;
  }
  t.indices += n * K;
  t.logits += n * K;
  const bool valid = 0 <= label && label < V;
  const float at_label = valid ? rows.at(0, label) : __builtin_nanf("");
  const float poison = mark_stored(rows, t, V, scratch.stored);
  const auto is_rest = [&](const auto& p, int j) {
    return (scratch.stored[p.column(j) / 32] >> p.column(j) % 32 & 1u) == 0;
  };
  const double none = -__builtin_huge_val();
  Row row{V, K, K < V ? K + 1 : K, none, none, none, none, -__builtin_huge_valf()};
  double sum = 0, sum_c = 0;
  if (K < V) {
    row.max = gpu::rest_max(rows, is_rest);
    sum = gpu::rest_sum(rows, row.max, w.inv_tau, is_rest);
    sum_c = kOwnCe ? gpu::rest_sum(rows, row.max, 1.0f, is_rest) : sum;
    row.rest_s = log_sum_exp(row.max, sum, w.tau);
    row.rest_t = kd_topk::teacher_rest(t.rest_lse[n], row.rest_s);
  }
  const double inv_tau = 1 / w.tau;
  const float rest_max = row.max;
  find_maxima(rows, t, inv_tau, row);
  Sums sums = sum_weights(rows, t, inv_tau, row, 0.0f);
  const float raise = kd_topk::better_raise(sums.e, sums.y);
  if (raise != 0.0f) sums = sum_weights(rows, t, inv_tau, row, raise);
  const float rest_over_max = math::exp(rest_max - row.max);
  const float all_c = sums.c + static_cast<float>(sum_c) * rest_over_max;
  const double mean = w.mean.value();
  const float grad_label = static_cast<float>(w.grad_ce * mean);
  const Gradient g{static_cast<float>(w.grad_kd * mean) + poison, grad_label / all_c, grad_label};
  const float kl = finish_outcomes(rows, t, inv_tau, row, sums, raise, g, scratch.gradient);
  if (rows.leader()) {
    const float kd = w.loss_kd > 0 ? w.loss_kd * kl : 0.0f;
    const float ce = w.loss_ce > 0 ? w.loss_ce * (math::log(all_c) + (row.max - at_label)) : 0.0f;
    row_loss[n] = kd + ce + poison;
  }
  if (args.out == nullptr) return;
  const float of_rest = K < V ? scratch.gradient[K] : 0.0f;
  const float rest_kd = static_cast<float>(of_rest / (sum == 0 ? 1.0 : sum));
  const float rest_ce = g.ce * rest_over_max;
  const float shift = rest_max == -__builtin_huge_valf() ? 0.0f : rest_max;  // -inf - -inf is NaN
  rows.write([&](const auto& p, int j) {
    if (!is_rest(p, j)) return 0.0f;
    const float z = p.z[0][j] - shift, e = math::exp(z * w.inv_tau);
    const float c = kOwnCe ? math::exp(z) : e;
    const float gradient = math::fma(rest_kd, e, rest_ce * c);
    return p.column(j) == label ? gradient - grad_label : gradient;
  });
  write_stored<Rows>(t, row, label, grad_label, scratch.gradient, args.out + n * V);
}

}  // namespace

void kd_topk_forward_with_grad(Tensor& row_loss, Tensor& dstudent, const Tensor& student,
                               const SparseTeacher& teacher, const Tensor& labels,
                               const KdLossOptions& o) {
  const std::int64_t N = student.dim(0), V = student.dim(1), K = teacher.indices.dim(1);
  LIMBECK_CHECK(V <= kMaxClasses, "kd_topk: student has shape ", student.shape(),
                "; expected at most ", kMaxClasses, " classes on a GPU");
  if (N == 0) return;
  Tensor counted;
  const Scales w{o.tau,
                 static_cast<float>(1 / o.tau),
                 static_cast<float>(o.kd_weight * o.tau * o.tau),
                 static_cast<float>(o.ce_weight),
                 o.kd_weight * o.tau,
                 o.ce_weight,
                 gpu::mean_scale(counted, o.mean_over, labels, N)};
  const Teacher t{teacher.indices.data<std::int32_t>(), teacher.logits.data<float>(),
                  K < V ? teacher.rest_lse.data<float>() : nullptr, static_cast<int>(K)};
  const std::int32_t* label = labels.defined() ? labels.data<std::int32_t>() : nullptr;
  gpu::visit_gpu_floating("kd_topk", student.dtype(), [&]<class T>(TypeTag<T>) {
    using Args = gpu::RowsArgs<T, 1>;
    const Args args{{student.data<T>()},
                    dstudent.defined() ? dstudent.data<T>() : nullptr,
                    N,
                    static_cast<int>(V)};
    gpu::visit_rows<T, 1>(args.columns, [&]<class Rows>(TypeTag<Rows>) {
      gpu::Launch launch = gpu::rows_launch<Rows>("kd_topk", N);
      launch.dynamic_shared = static_cast<std::size_t>(
          Rows::kBlockRows * scratch_words(args.columns, t.K) * static_cast<int>(sizeof(unsigned)));
      const bool own_ce = o.ce_weight > 0 && o.tau != 1;
      const auto kernel =
          own_ce ? kd_topk_kernel<true, Rows, Args> : kd_topk_kernel<false, Rows, Args>;
      gpu::launch(launch, kernel, row_loss.data<float>(), args, t, label, w);
    });
  });
}

}  // namespace limbeck::cuda

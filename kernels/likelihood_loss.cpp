// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/likelihood_loss.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/likelihood_functions.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/row_tile.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "likelihood_loss";

DType compute_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

/// Of a tensor that may be undefined.
void check_optional(const char* name, const Tensor& t, const Shape& shape, const Tensor& mu) {
  if (!t.defined()) return;
  const DType dtype = compute_dtype(mu.dtype());
  LIMBECK_CHECK(t.shape() == shape && t.dtype() == dtype && t.device() == mu.device(), kOp, ": ",
                name, " is ", t.dtype(), t.shape(), " on ", t.device(), "; expected ", dtype, shape,
                " on ", mu.device());
}

void check_parameter(const char* name, const Tensor& parameter, const Tensor& grad, bool wanted,
                     Likelihood kind, const Tensor& mu) {
  LIMBECK_CHECK(parameter.defined() == wanted, kOp, ": ", name, " is ",
                parameter.defined() ? "defined" : "undefined", " for ", likelihood_name(kind),
                "; expected it ", wanted ? "defined" : "undefined");
  LIMBECK_CHECK(wanted || !grad.defined(), kOp, ": gradient of ", name, " asked for, which ",
                likelihood_name(kind), " lacks");
  check_optional(name, parameter, {mu.dim(1)}, mu);
  check_optional("a parameter's gradient", grad, {mu.dim(1)}, mu);
}

}  // namespace

const char* likelihood_name(Likelihood kind) {
  switch (kind) {
    case Likelihood::gauss:
      return "gauss";
    case Likelihood::laplace:
      return "laplace";
    case Likelihood::mixture:
      return "mixture";
  }
  return "?";
}

void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options, const Tensor& upstream) {
  check_rows(kOp, "mu", mu);
  check_like(kOp, "t", t, "mu", mu);
  LIMBECK_CHECK(options.mean_over >= 0 && std::isfinite(options.mean_over), kOp, ": mean_over is ",
                options.mean_over, "; expected >= 0");
  const Likelihood kind = options.kind;
  const bool gauss = kind != Likelihood::laplace, laplace = kind != Likelihood::gauss;
  check_parameter("rho_v", parameters.rho_v, out.drho_v.value, gauss, kind, mu);
  check_parameter("rho_b", parameters.rho_b, out.drho_b.value, laplace, kind, mu);
  check_parameter("kappa", parameters.kappa, out.dkappa.value, gauss && laplace, kind, mu);
  check_optional("row_loss", out.row_loss, {mu.dim(0)}, mu);
  check_optional("upstream", upstream, {1}, mu);
  if (out.dmu.defined()) check_like(kOp, "dmu", out.dmu, "mu", mu);
  LIMBECK_DISPATCH(mu.device(),
                   likelihood_loss_forward_with_grad(out, mu, t, parameters, options, upstream));
}

namespace cpu {
namespace {

constexpr std::int64_t kMaxColumns = 256;

constexpr std::int64_t kLeastColumns = 32;

/// Columns per task: few enough for 4 tasks, but whole registers, enough to pay for a row's sum,
/// and no more than stay at hand. Part of the result, as a row's sum is taken per task.
std::int64_t task_columns(std::int64_t C) {
  return std::clamp((C / 4 + kLanes - 1) / kLanes * kLanes, kLeastColumns, kMaxColumns);
}

/// LikelihoodChannel of a task's columns, field by field.
template <class F>
struct Channels {
  F log_gauss[kMaxColumns], inv_v[kMaxColumns], log_laplace[kMaxColumns], inv_b[kMaxColumns];
  F pi[kMaxColumns], step_v[kMaxColumns], step_b[kMaxColumns];

  void set(std::int64_t i, const LikelihoodChannel<F>& c) {
    log_gauss[i] = c.log_gauss;
    inv_v[i] = c.inv_v;
    log_laplace[i] = c.log_laplace;
    inv_b[i] = c.inv_b;
    pi[i] = c.pi;
    step_v[i] = c.step_v;
    step_b[i] = c.step_b;
  }
  LikelihoodChannel<F> operator[](std::int64_t i) const {
    return {log_gauss[i], inv_v[i], log_laplace[i], inv_b[i], pi[i], step_v[i], step_b[i]};
  }
};

/// A parameter of a task's columns: its gradient as one chain per column.
template <class F>
struct Chain {
  F sum[kMaxColumns] = {};
  F* grad;

  Chain(LikelihoodParameterGrad& of, std::int64_t first, std::int64_t columns)
      : grad(of.value.defined() ? of.value.template data<F>() + first : nullptr) {
    if (grad && of.out == Out::add) std::copy_n(grad, columns, sum);
  }
  void store(std::int64_t columns) const {
    if (grad) std::copy_n(sum, columns, grad);
  }
};

template <class F, class T>
struct Problem {
  const T *mu, *t;
  T* dmu;  // or null
  const F *rho_v, *rho_b, *kappa;
  std::int64_t R, C;
  F k;
};

/// The sum over a row's columns, by lanes.
template <class F>
F row_sum(const F* x, std::int64_t n) {
  F sum[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) sum[lane] += x[i + lane];
  }
  for (int lane = 0; i + lane < n; ++lane) sum[lane] += x[i + lane];
  RowTile<true>::sum_lanes(sum);
  return sum[0];
}

/// All rows of some columns; sums (R) of -log p.
template <Likelihood kKind, bool kLoss, bool kGrad, class F, class T>
void run_columns(F* sums, LikelihoodOutputs& out, const Problem<F, T>& p, std::int64_t first,
                 std::int64_t columns) {
  Channels<F> channels;
  Chain<F> v(out.drho_v, first, columns), b(out.drho_b, first, columns);
  Chain<F> kappa(out.dkappa, first, columns);
  const F k = p.k;
  for (std::int64_t c = 0; c < columns; ++c)
    channels.set(c, likelihood_channel<kKind>(p.rho_v ? p.rho_v[first + c] : F(0),
                                              p.rho_b ? p.rho_b[first + c] : F(0),
                                              p.kappa ? p.kappa[first + c] : F(0), k));
  F loss[kMaxColumns], slope[kMaxColumns];
  for (std::int64_t r = 0; r < p.R; ++r) {
    const std::int64_t at = r * p.C + first;
    const T *mu = p.mu + at, *t = p.t + at;
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) {
      const F residual = static_cast<F>(t[c]) - static_cast<F>(mu[c]);
      const LikelihoodChannel<F> channel = channels[c];
      const auto e = likelihood_element<kKind, kLoss>(residual, channel, k);
      if constexpr (kLoss) loss[c] = e.loss;
      if constexpr (kGrad) {
        slope[c] = e.dmu;
        if constexpr (kKind != Likelihood::laplace)
          v.sum[c] = math::fma(channel.step_v, e.v, v.sum[c]);
        if constexpr (kKind != Likelihood::gauss)
          b.sum[c] = math::fma(channel.step_b, e.b, b.sum[c]);
        if constexpr (kKind == Likelihood::mixture)
          kappa.sum[c] = math::fma(-k, e.kappa, kappa.sum[c]);
      }
    }
    if constexpr (kLoss) sums[r] = row_sum(loss, columns);
    if constexpr (kGrad) {
#pragma omp simd
      for (std::int64_t c = 0; c < (p.dmu ? columns : 0); ++c)
        p.dmu[at + c] = static_cast<T>(slope[c]);
    }
  }
  if constexpr (kGrad) {
    v.store(columns);
    b.store(columns);
    kappa.store(columns);
  }
}

template <class F>
void add_up_rows(F* row_loss, const F* sums, std::int64_t R, std::int64_t C, std::int64_t tasks) {
  const F scale = static_cast<F>(1.0 / static_cast<double>(C));
  parallel_ranges(R, 16384, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
#pragma omp simd
      for (std::int64_t r = begin; r < end; ++r) row_loss[r] = sums[r];
      for (std::int64_t task = 1; task < tasks; ++task) {
#pragma omp simd
        for (std::int64_t r = begin; r < end; ++r) row_loss[r] += sums[task * R + r];
      }
#pragma omp simd
      for (std::int64_t r = begin; r < end; ++r) row_loss[r] *= scale;
    });
  });
}

template <Likelihood kKind, bool kLoss, bool kGrad, class F, class T>
void run(LikelihoodOutputs& out, const Problem<F, T>& p) {
  const std::int64_t wide = task_columns(p.C), tasks = (p.C + wide - 1) / wide;
  Tensor room = Tensor::empty({kLoss ? tasks * p.R : 0}, dtype_of<F>());
  F* sums = room.data<F>();
  parallel_ranges(p.C, wide, [&](std::int64_t begin, std::int64_t end) {
    simd([&](auto) {
      run_columns<kKind, kLoss, kGrad>(sums + (kLoss ? begin / wide * p.R : 0), out, p, begin,
                                       end - begin);
    });
  });
  if constexpr (kLoss) add_up_rows(out.row_loss.data<F>(), sums, p.R, p.C, tasks);
}

}  // namespace

void likelihood_loss_forward_with_grad(LikelihoodOutputs& out, const Tensor& mu, const Tensor& t,
                                       const LikelihoodParameters& parameters,
                                       const LikelihoodOptions& options, const Tensor& upstream) {
  const std::int64_t R = mu.dim(0), C = mu.dim(1);
  const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(R);
  const double k = (upstream.defined() ? upstream.item() : 1.0) / (static_cast<double>(C) * rows);
  const bool loss = out.row_loss.defined();
  const bool grad = out.dmu.defined() || out.drho_v.value.defined() || out.drho_b.value.defined() ||
                    out.dkappa.value.defined();
  visit_floating(mu.dtype(), [&]<class T>(TypeTag<T>) {
    using F = ComputeType<T>;
    const Problem<F, T> p{mu.data<T>(),
                          t.data<T>(),
                          data_or_null<T>(out.dmu),
                          data_or_null<F>(parameters.rho_v),
                          data_or_null<F>(parameters.rho_b),
                          data_or_null<F>(parameters.kappa),
                          R,
                          C,
                          static_cast<F>(k)};
    visit_likelihood(options.kind, [&](auto kind) {
      if (loss && grad) return run<kind.value, true, true>(out, p);
      if (loss) return run<kind.value, true, false>(out, p);
      if (grad) return run<kind.value, false, true>(out, p);
    });
  });
}

}  // namespace cpu
}  // namespace limbeck

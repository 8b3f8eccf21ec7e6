// SPDX-License-Identifier: Apache-2.0
// The loss against a sparse teacher from its definition.
#pragma once

#include <limits>

#include <limbeck/kernels/kd_topk.h>
#include <limbeck/kernels/topk.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

inline constexpr double kInf = std::numeric_limits<double>::infinity();
inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct KdTopkResult {
  std::vector<double> loss, grad;
};

// One row from the definition, in long double and without the kernel's transformations.
inline void reference_row(KdTopkResult& r, const std::vector<double>& zs,
                          const std::vector<std::int32_t>& index, const std::vector<double>& zt,
                          double rest_lse, int label, const KdLossOptions& o) {
  const auto softmax = [&](long double tau) {
    const long double max = *std::max_element(zs.begin(), zs.end());
    std::vector<long double> p;
    long double sum = 0;
    for (double z : zs) sum += std::exp((z - max) / tau);
    for (double z : zs) p.push_back((z - max) / tau - std::log(sum));
    return p;
  };
  const auto log_ps = softmax(o.tau), log_q = softmax(1);
  std::vector<bool> stored(zs.size());
  for (std::int32_t v : index) stored[v] = true;
  // Of the rest, relative to its own largest: it may be far below the others.
  long double max = -kInf, sum = 0, top = rest_lse, all = 0;
  for (std::size_t v = 0; v < zs.size(); ++v)
    if (!stored[v]) max = std::max(max, log_ps[v]);
  for (std::size_t v = 0; v < zs.size(); ++v)
    if (!stored[v]) sum += std::exp(log_ps[v] - max);
  const long double log_ps_rest = sum > 0 ? max + std::log(sum) : -kInf;
  for (double z : zt) top = std::max(top, z / static_cast<long double>(o.tau));
  for (double z : zt) all += std::exp(z / static_cast<long double>(o.tau) - top);
  all += std::exp(rest_lse - top);
  const auto log_pt = [&](long double s) { return s - top - std::log(all); };
  long double kl = 0;
  const auto add = [&](long double log_s, long double log_t) {
    const long double ps = std::exp(log_s), pt = std::exp(log_t), u = log_t - log_s;
    kl += std::abs(u) < 1 ? pt * (std::expm1(-u) + u) : ps - pt + (pt > 0 ? pt * u : 0);
    return std::abs(u) < 1 ? -ps * std::expm1(u) : ps - pt;
  };
  std::vector<long double> gradient(zs.size());
  for (std::size_t k = 0; k < index.size(); ++k)
    gradient[index[k]] = add(log_ps[index[k]], log_pt(zt[k] / static_cast<long double>(o.tau)));
  if (sum > 0) {
    const long double rest = add(log_ps_rest, log_pt(rest_lse));
    for (std::size_t v = 0; v < zs.size(); ++v)
      if (!stored[v]) gradient[v] = rest * std::exp(log_ps[v] - log_ps_rest);
  }
  for (std::size_t v = 0; v < zs.size(); ++v) {
    const long double q = std::exp(log_q[v]) - (static_cast<int>(v) == label);
    r.grad.push_back(static_cast<double>(
        (o.kd_weight * o.tau * gradient[v] + (o.ce_weight > 0 ? o.ce_weight * q : 0)) /
        o.mean_over));
  }
  r.loss.push_back(static_cast<double>(o.kd_weight * o.tau * o.tau * kl -
                                       (o.ce_weight > 0 ? o.ce_weight * log_q[label] : 0.0L)));
}

inline KdLossOptions options(double tau, double kd_weight, double ce_weight, double mean_over = 0) {
  KdLossOptions o;
  o.tau = tau;
  o.kd_weight = kd_weight;
  o.ce_weight = ce_weight;
  o.mean_over = mean_over;
  return o;
}

inline std::vector<std::int32_t> some_labels(std::int64_t N, std::int64_t V) {
  std::vector<std::int32_t> labels;
  for (std::int64_t n = 0; n < N; ++n) labels.push_back(static_cast<std::int32_t>(n * 7 % V));
  return labels;
}

inline SparseTeacher stored(const Tensor& logits, std::int64_t K, double tau) {
  const std::int64_t N = logits.dim(0);
  const DType dtype = logits.dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Device device = logits.device();
  SparseTeacher t{Tensor::empty({N, K}, DType::i32, device), Tensor::empty({N, K}, dtype, device),
                  Tensor::empty({N}, dtype, device)};
  topk(t.logits, t.indices, t.rest_lse, logits, tau);
  return t;
}

}  // namespace limbeck::testing

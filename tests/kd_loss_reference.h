// SPDX-License-Identifier: Apache-2.0
// The distillation loss of one row from its definition, in long double and without the kernel's
// transformations.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <limbeck/kernels/kd_loss.h>

namespace limbeck::testing::kd_reference {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
using Row = std::vector<long double>;

// log sum exp, where exp would underflow too.
inline long double log_sum(const Row& x) {
  const long double max = *std::max_element(x.begin(), x.end());
  long double sum = 0;
  for (const long double value : x) sum += std::exp(value - max);
  return max == -kInfinity ? max : max + std::log(sum);
}

// log softmax(z / tau), -inf logits included.
inline Row log_softmax(const double* z, std::int64_t V, long double tau) {
  const long double max = *std::max_element(z, z + V);
  long double sum = 0;
  Row log_p;
  for (std::int64_t v = 0; v < V; ++v) sum += std::exp((z[v] - max) / tau);
  for (std::int64_t v = 0; v < V; ++v) log_p.push_back((z[v] - max) / tau - std::log(sum));
  return log_p;
}

// p (log p - log q) + q - p, whose sum is KL and which is 0 for p = 0.
inline long double kl_share(long double log_p, long double log_q) {
  if (log_p == -kInfinity) return std::exp(log_q);
  const long double u = log_p - log_q;
  return std::abs(u) < 1 ? std::exp(log_p) * (std::expm1(-u) + u)
                         : std::exp(log_p) * u + std::exp(log_q) - std::exp(log_p);
}
inline long double kl(const Row& log_p, const Row& log_q) {
  long double sum = 0;
  for (std::size_t v = 0; v < log_p.size(); ++v) sum += kl_share(log_p[v], log_q[v]);
  return sum;
}

// A row of the definition: loss, and the gradient with respect to zs / tau times tau.
struct Expected {
  long double loss = 0;
  Row grad;
};

// Adds the gradient ps (a - sum ps a) of a term whose derivative with respect to ps is a.
inline void add_through_softmax(Row& grad, long double weight, const Row& log_ps, const Row& a) {
  if (weight == 0) return;  // times infinity
  long double mean = 0;
  for (std::size_t v = 0; v < a.size(); ++v) mean += std::exp(log_ps[v]) * a[v];
  for (std::size_t v = 0; v < a.size(); ++v)
    grad[v] += weight * std::exp(log_ps[v]) * (a[v] - mean);
}

inline void add_dkd(Expected& e, const double* zs, const double* zt, std::int64_t V, int y,
                    const KdLossOptions& o) {
  if (V == 1) return;
  const Row log_ps = log_softmax(zs, V, o.tau), log_pt = log_softmax(zt, V, o.tau);
  const auto rest = [&](const double* z) {
    std::vector<double> others(z, z + V);
    others[y] = -kInfinity;
    return log_softmax(others.data(), V, o.tau);
  };
  const auto log_not = [y](Row log_p) {  // log(1 - p_y)
    log_p[y] = -kInfinity;
    return log_sum(log_p);
  };
  const Row rest_s = rest(zs), rest_t = rest(zt);
  e.loss += o.tckd_weight * kl({log_pt[y], log_not(log_pt)}, {log_ps[y], log_not(log_ps)});
  const long double change = std::exp(log_ps[y]) - std::exp(log_pt[y]);
  for (std::int64_t v = 0; v < V; ++v) {
    if (v == y) continue;
    e.loss += o.nckd_weight * kl_share(rest_t[v], rest_s[v]);
    e.grad[v] += o.nckd_weight * (std::exp(rest_s[v]) - std::exp(rest_t[v])) -
                 o.tckd_weight * change * std::exp(rest_s[v]);
  }
  e.grad[y] += o.tckd_weight * change;
}

inline Expected row(const double* zs, const double* zt, std::int64_t V, int y,
                    const KdLossOptions& o) {
  const Row log_ps = log_softmax(zs, V, o.tau), log_pt = log_softmax(zt, V, o.tau);
  Row log_m, reverse, jsd, tvd;
  Expected e{0, Row(V, 0)};
  const long double beta = o.jsd_weight > 0 ? o.jsd_beta : 0.5;
  for (std::int64_t v = 0; v < V; ++v) {
    const long double ps = std::exp(log_ps[v]), pt = std::exp(log_pt[v]);
    log_m.push_back(log_sum({std::log(beta) + log_pt[v], std::log(1 - beta) + log_ps[v]}));
    e.grad[v] = o.kd_weight * (ps - pt);
    reverse.push_back(ps > 0 ? log_ps[v] - log_pt[v] : 0);
    jsd.push_back(ps > 0 ? (1 - beta) * (log_ps[v] - log_m[v]) : 0);
    tvd.push_back(ps > pt ? 0.5L : ps < pt ? -0.5L : 0);
    e.loss += o.tvd_weight * std::abs(ps - pt) / 2;
  }
  e.loss += o.kd_weight > 0 ? o.kd_weight * kl(log_pt, log_ps) : 0;
  if (o.reverse_kl_weight > 0) e.loss += o.reverse_kl_weight * kl(log_ps, log_pt);
  e.loss += o.jsd_weight * (beta * kl(log_pt, log_m) + (1 - beta) * kl(log_ps, log_m));
  add_through_softmax(e.grad, o.reverse_kl_weight, log_ps, reverse);
  add_through_softmax(e.grad, o.jsd_weight, log_ps, jsd);
  add_through_softmax(e.grad, o.tvd_weight, log_ps, tvd);
  if (o.tckd_weight > 0 || o.nckd_weight > 0) add_dkd(e, zs, zt, V, y, o);
  e.loss *= static_cast<long double>(o.tau) * o.tau;
  for (long double& g : e.grad) g *= o.tau;
  if (o.ce_weight > 0) {
    const Row log_q = log_softmax(zs, V, 1);
    e.loss -= o.ce_weight * log_q[y];
    for (std::int64_t v = 0; v < V; ++v)
      e.grad[v] += o.ce_weight * (std::exp(log_q[v]) - (v == y ? 1 : 0));
  }
  return e;
}

}  // namespace limbeck::testing::kd_reference

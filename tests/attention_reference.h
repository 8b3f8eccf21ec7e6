// SPDX-License-Identifier: Apache-2.0
// The definition of attention, written without regard to time or memory.
#pragma once

#include <cmath>
#include <vector>

#include <limbeck/kernels/attention.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

struct AttentionCase {
  std::int64_t N, T, S, H, G, D;
  bool causal = false;
  std::vector<std::int32_t> lengths = {};
  double scale = 0;
  AttentionDropout dropout = {};

  /// Whether, and by how much, dropout keeps a probability.
  double kept(std::int64_t n, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (dropout.p == 0) return 1;
    const std::int64_t row = ((dropout.first_sequence + n) * H + h) * T + i;
    const auto word = static_cast<std::uint64_t>(4 * row * ((S + 3) / 4) + j);
    return philox_word(dropout.stream, word) < dropout.p * 0x1p32 ? 0 : 1 / (1 - dropout.p);
  }
  Shape query_shape() const { return {N, T, H, D}; }
  Shape key_shape() const { return {N, S, G, D}; }
  std::string name() const {
    return query_shape().str() + " on " + key_shape().str() + (causal ? " causal" : "") +
           (lengths.empty() ? "" : " with lengths") + (dropout.p == 0 ? "" : " with dropout");
  }
  bool sees(std::int64_t n, std::int64_t i, std::int64_t j) const {
    return (!causal || j <= i + S - T) &&
           (lengths.empty() || j < lengths[static_cast<std::size_t>(n)]);
  }
};

struct AttentionResult {
  std::vector<double> y, lse, dq, dk, dv;
};

/// Probabilities of one query are made whole, then everything is a plain sum.
inline AttentionResult attention_reference(const AttentionCase& c, const std::vector<double>& q,
                                           const std::vector<double>& k,
                                           const std::vector<double>& v,
                                           const std::vector<double>& dy) {
  AttentionResult r{std::vector<double>(q.size()),
                    {},
                    std::vector<double>(q.size()),
                    std::vector<double>(k.size()),
                    std::vector<double>(k.size())};
  const double scale = c.scale != 0 ? c.scale : 1 / std::sqrt(static_cast<double>(c.D));
  const auto dot = [&](const double* a, const double* b) {
    double sum = 0;
    for (std::int64_t d = 0; d < c.D; ++d) sum += a[d] * b[d];
    return sum;
  };
  for (std::int64_t n = 0; n < c.N; ++n)
    for (std::int64_t h = 0; h < c.H; ++h)
      for (std::int64_t i = 0; i < c.T; ++i) {
        const std::int64_t at = ((n * c.T + i) * c.H + h) * c.D;
        const auto key = [&](std::int64_t j) {
          return ((n * c.S + j) * c.G + h / (c.H / c.G)) * c.D;
        };
        std::vector<double> p(static_cast<std::size_t>(c.S));
        double sum = 0, mean = 0;
        for (std::int64_t j = 0; j < c.S; ++j)
          sum += p[j] = c.sees(n, i, j) ? std::exp(scale * dot(&q[at], &k[key(j)])) : 0;
        for (double& e : p) e = sum > 0 ? e / sum : 0;
        r.lse.push_back(std::log(sum));
        const auto kept = [&](std::int64_t j) { return c.kept(n, h, i, j); };
        for (std::int64_t j = 0; j < c.S; ++j) mean += p[j] * kept(j) * dot(&dy[at], &v[key(j)]);
        for (std::int64_t j = 0; j < c.S; ++j) {
          const double ds = p[j] * (kept(j) * dot(&dy[at], &v[key(j)]) - mean) * scale;
          for (std::int64_t d = 0; d < c.D; ++d) {
            r.y[at + d] += kept(j) * p[j] * v[key(j) + d];
            r.dq[at + d] += ds * k[key(j) + d];
            r.dk[key(j) + d] += ds * q[at + d];
            r.dv[key(j) + d] += kept(j) * p[j] * dy[at + d];
          }
        }
      }
  return r;
}

}  // namespace limbeck::testing

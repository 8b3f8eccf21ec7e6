// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/channel_probe.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>
#include <limbeck/kernels/likelihood_functions.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

/// Columns brought to mean 0 and variance 1 over the first `fitted` rows; constant ones to 0.
Tensor standardised(const Tensor& rows, std::int64_t fitted) {
  Tensor x = rows.to(Device::cpu()).to(DType::f64).clone();
  const std::int64_t R = x.dim(0), C = x.dim(1);
  double* values = x.data<double>();
  for (std::int64_t c = 0; c < C; ++c) {
    double mean = 0, square = 0;
    for (std::int64_t r = 0; r < fitted; ++r) mean += values[r * C + c];
    mean /= static_cast<double>(fitted);
    for (std::int64_t r = 0; r < fitted; ++r) {
      const double d = values[r * C + c] - mean;
      square += d * d;
    }
    const double deviation = std::sqrt(square / static_cast<double>(fitted));
    const double scale = deviation > 1e-12 * std::abs(mean) ? 1 / deviation : 0;
    for (std::int64_t r = 0; r < R; ++r)
      values[r * C + c] = scale > 0 ? (values[r * C + c] - mean) * scale : 0;
  }
  return x;
}

/// a (n,n), positive definite, becomes L with L L' = a, in its lower triangle.
void factorise(double* a, std::int64_t n) {
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (std::int64_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(sum) : sum / a[j * n + j];
    }
}

/// b (n,m) becomes the solution of L L' x = b.
void solve(const double* l, double* b, std::int64_t n, std::int64_t m) {
  const auto subtract = [&](std::int64_t from, std::int64_t to, double factor) {
    for (std::int64_t j = 0; j < m; ++j) b[to * m + j] -= factor * b[from * m + j];
  };
  const auto divide = [&](std::int64_t i) {
    for (std::int64_t j = 0; j < m; ++j) b[i * m + j] /= l[i * n + i];
  };
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < i; ++k) subtract(k, i, l[i * n + k]);
    divide(i);
  }
  for (std::int64_t i = n; i-- > 0;) {
    for (std::int64_t k = i + 1; k < n; ++k) subtract(k, i, l[k * n + i]);
    divide(i);
  }
}

/// t - A s of the measured rows.
Tensor residuals(const Tensor& s, const Tensor& t, std::int64_t fitted, double ridge) {
  const std::int64_t R = s.dim(0), C = s.dim(1), D = t.dim(1);
  const Tensor fit_s = s.rows(0, fitted), fit_t = t.rows(0, fitted);
  Tensor correlations = Tensor::empty({C, C}, DType::f64), map = Tensor::empty({C, D}, DType::f64);
  matmul(correlations, fit_s, Trans::yes, fit_s, Trans::no);
  matmul(map, fit_s, Trans::yes, fit_t, Trans::no);
  for (std::int64_t c = 0; c < C; ++c)
    correlations.data<double>()[c * (C + 1)] += ridge * static_cast<double>(fitted);
  factorise(correlations.data<double>(), C);
  solve(correlations.data<double>(), map.data<double>(), C, D);
  Tensor predicted = Tensor::empty({R - fitted, D}, DType::f64);
  matmul(predicted, s.rows(fitted, R), Trans::no, map, Trans::no);
  const Tensor truth = t.rows(fitted, R);
  for (std::int64_t i = 0; i < predicted.numel(); ++i)
    predicted.data<double>()[i] = truth.data<double>()[i] - predicted.data<double>()[i];
  return predicted;
}

/// One channel's residuals under a mixture of a Gaussian and a Laplace distribution.
struct Mixture {
  double v = 0, b = 0, pi = 0.5;

  explicit Mixture(const std::vector<double>& r) {
    for (const double x : r) {
      v += x * x / static_cast<double>(r.size());
      b += std::abs(x) / static_cast<double>(r.size());
    }
  }
  /// How likely the Gaussian is where the residual is r.
  double share(double r) const {
    const double gauss = std::log(pi) - 0.5 * std::log(6.283185307179586 * v) - r * r / (2 * v);
    const double laplace = std::log1p(-pi) - std::log(2 * b) - std::abs(r) / b;
    return 1 / (1 + std::exp(laplace - gauss));
  }
  void improve(const std::vector<double>& r) {
    double w_sum = 0, squares = 0, sizes = 0;
    for (const double x : r) {
      const double w = share(x);
      w_sum += w;
      squares += w * x * x;
      sizes += (1 - w) * std::abs(x);
    }
    const auto n = static_cast<double>(r.size());
    pi = std::clamp(w_sum / n, 1e-4, 1 - 1e-4);
    v = std::max(squares / std::max(w_sum, 1e-4), kScaleFloor);
    b = std::max(sizes / std::max(n - w_sum, 1e-4), kScaleFloor);
  }
};

/// rho with softplus(rho) + kScaleFloor = scale, as near as it gets.
double rho_of(double scale) {
  const double y = std::max(scale - kScaleFloor, 1e-12);
  return y + std::log(-std::expm1(-y));
}

/// Every so many rows of one column, at most `most` of them.
std::vector<double> column(const Tensor& r, std::int64_t c, std::int64_t most) {
  const std::int64_t R = r.dim(0), count = std::min(R, most);
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(r.data<double>()[i * R / count * r.dim(1) + c]);
  return values;
}

LikelihoodParameters parameters_of(const Tensor& r) {
  constexpr int kSteps = 150;
  constexpr std::int64_t kMixtureRows = 4096;  // what a share needs to two digits
  const std::int64_t D = r.dim(1);
  Tensor rho_v = Tensor::empty({D}, DType::f64), rho_b = Tensor::empty({D}, DType::f64);
  Tensor kappa = Tensor::empty({D}, DType::f64);
  parallel_for(D, [&](std::int64_t d) {
    const Mixture whole(column(r, d, r.dim(0)));
    rho_v.data<double>()[d] = rho_of(whole.v);
    rho_b.data<double>()[d] = rho_of(whole.b);
    const std::vector<double> some = column(r, d, kMixtureRows);
    Mixture mixture(some);
    mixture.v = std::max(mixture.v, kScaleFloor);
    mixture.b = std::max(mixture.b, kScaleFloor);
    for (int step = 0; step < kSteps; ++step) mixture.improve(some);
    kappa.data<double>()[d] = std::log(mixture.pi / (1 - mixture.pi));
  });
  return {rho_v, rho_b, kappa};
}

bool varies(const Tensor& t, std::int64_t d) {
  for (std::int64_t i = 1; i < t.dim(0); ++i)
    if (t.data<double>()[i * t.dim(1) + d] != t.data<double>()[d]) return true;
  return false;
}

}  // namespace

ChannelProbe probe_channels(const Tensor& receiver, const Tensor& source, double ridge) {
  for (const Tensor* t : {&receiver, &source})
    LIMBECK_CHECK(t->rank() == 2 && t->dim(1) >= 1 && is_floating(t->dtype()),
                  "probe_channels: rows are ", t->dtype(), " ", t->shape(),
                  "; expected floating (R,C)");
  LIMBECK_CHECK(receiver.dim(0) == source.dim(0) && source.dim(0) >= 4,
                "probe_channels: ", receiver.dim(0), " rows of the receiver, ", source.dim(0),
                " of the source; expected as many, at least 4");
  LIMBECK_CHECK(receiver.dim(1) <= kMaxProbeChannels, "probe_channels: ", receiver.dim(1),
                " channels of the receiver; expected at most ", kMaxProbeChannels);
  LIMBECK_CHECK(ridge > 0, "probe_channels: ridge is ", ridge, "; expected above 0");
  const std::int64_t R = source.dim(0), fitted = R / 2;
  const Tensor s = standardised(receiver, fitted), t = standardised(source, fitted);
  const Tensor measured = t.rows(fitted, R);
  ChannelProbe probe{fitted, R - fitted, {}};
  probe.channels = channel_ledger(measured, parameters_of(residuals(s, t, fitted, ridge)));
  for (std::int64_t d = 0; d < source.dim(1); ++d)
    if (!varies(measured, d)) probe.channels[static_cast<std::size_t>(d)] = {};
  return probe;
}

}  // namespace limbeck

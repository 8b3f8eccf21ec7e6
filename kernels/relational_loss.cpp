// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/relational_loss.h>

#include <array>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/each_row.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/pair_checks.h>
#include <limbeck/kernels/relational_terms.h>
#include <limbeck/kernels/wide_sum.h>

namespace limbeck {

void check_relational_options(const char* op, const RelationalOptions& options) {
  const double sum = options.distance_weight + options.angle_weight;
  LIMBECK_CHECK(
      options.distance_weight >= 0 && options.angle_weight >= 0 && sum > 0 && std::isfinite(sum),
      op, ": weights are ", options.distance_weight, " of distances and ", options.angle_weight,
      " of angles; expected >= 0, and one above");
}

void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options) {
  constexpr const char* kOp = "relational_loss";
  LIMBECK_CHECK(
      receiver.defined() && receiver.rank() == 2, kOp, ": receiver is ",
      receiver.defined() ? detail::concat(receiver.dtype(), receiver.shape()) : "undefined",
      "; expected f64(N,N)");
  const std::int64_t N = receiver.dim(0);
  check_pairs(kOp, "receiver", receiver, N, receiver.device());
  check_pairs(kOp, "source", source, N, receiver.device());
  if (dsquares.defined()) check_pairs(kOp, "dsquares", dsquares, N, receiver.device());
  LIMBECK_CHECK(loss.defined() && loss.shape() == Shape{1} &&
                    (loss.dtype() == DType::f32 || loss.dtype() == DType::f64) &&
                    loss.device() == receiver.device(),
                kOp, ": loss is ",
                loss.defined() ? detail::concat(loss.dtype(), loss.shape(), " on ", loss.device())
                               : "undefined",
                "; expected f32 or f64(1) on ", receiver.device());
  check_relational_options(kOp, options);
  LIMBECK_DISPATCH(receiver.device(),
                   relational_loss_forward_with_grad(loss, dsquares, receiver, source, options));
}

namespace cpu {
namespace {

/// The sums over N rows, in order, of the two that body(sums, row) has of each.
template <class Body>
std::array<double, 2> sum_of_rows(std::int64_t N, Body body) {
  Tensor room = Tensor::empty({N, 2}, DType::f64);
  for_each_row(N, N, [=, rows = room.data<double>()](std::int64_t n) {
    double sums[2];
    body(sums, n);
    for (int k = 0; k < 2; ++k) rows[2 * n + k] = sums[k];
  });
  std::array<double, 2> total{};
  for (std::int64_t n = 0; n < N; ++n)
    for (std::size_t k = 0; k < 2; ++k) total[k] += room.data<double>()[2 * n + k];
  return total;
}

/// Both sides' squares (N,N).
struct Squares {
  const double *s, *t;
  std::int64_t N;

  /// With the mean of penalties written. Every pair is counted twice, the diagonal not.
  RelativeDistances distances(double& mean_penalty) const {
    const auto n = static_cast<double>(N);
    const double count = n * (n - 1);
    const auto roots = sum_of_rows(N, [*this](double(&sums)[2], std::int64_t i) {
      wide_sums(sums, N, [a = s + i * N, b = t + i * N](auto& sum, std::int64_t lane, auto j) {
        sum[0][lane] += math::sqrt(a[j]);
        sum[1][lane] += math::sqrt(b[j]);
      });
    });
    RelativeDistances d{inverse_or_0(roots[0] / count), inverse_or_0(roots[1] / count), 0};
    const auto errors = sum_of_rows(N, [*this, d](double(&sums)[2], std::int64_t i) {
      wide_sums(sums, N, [=, a = s + i * N, b = t + i * N](auto& sum, std::int64_t lane, auto j) {
        const RelativeDistances::Pair pair = d.at(a[j], b[j]);
        sum[0][lane] += pair.error.loss;
        sum[1][lane] = math::fma(pair.error.slope, pair.ratio, sum[1][lane]);
      });
    });
    mean_penalty = errors[0] / count;
    d.drift = errors[1] / count;
    return d;
  }
};

/// inverse_root of squares (N,N).
Tensor inverse_roots(const double* squares, std::int64_t N) {
  Tensor roots = Tensor::empty({N, N}, DType::f64);
  for_each_row(N, N, [=, out = roots.data<double>()](std::int64_t i) {
#pragma omp simd
    for (std::int64_t j = i * N; j < (i + 1) * N; ++j) out[j] = inverse_root(squares[j]);
  });
  return roots;
}

/// All pairs of a row p with later ones.
struct Pairs {
  Squares squares;
  const double *u_s, *u_t;  ///< inverse_root of each
  RelationalFactors factors;
  RelativeDistances distances;
  double* slopes;  ///< (N,N) or null

  /// The sums over all r; without the gradient, of the loss only.
  void triangles(double (&sums)[kTriangleSums], std::int64_t p, std::int64_t q) const {
    const std::int64_t N = squares.N;
    const auto with = [=](const double* a, const double* u) {
      return [P = a + p * N, Q = a + q * N, up = u + p * N, uq = u + q * N,
              pq = Side{a[p * N + q], u[p * N + q]}](std::int64_t r) {
        return Triangle{{P[r], up[r]}, {Q[r], uq[r]}, pq};
      };
    };
    const auto s = with(squares.s, u_s), t = with(squares.t, u_t);
    if (slopes)
      return wide_sums(sums, N, [=](auto& sum, std::int64_t lane, std::int64_t r) {
        add_triangle(sum, lane, s(r), t(r));
      });
    double loss[1];
    wide_sums(loss, N, [=](auto& sum, std::int64_t lane, std::int64_t r) {
      add_angle(sum, lane, s(r), t(r));
    });
    sums[kAngleLoss] = loss[0];
  }

  /// The row's penalties of angles, and its slopes at both their places.
  double row(std::int64_t p) const {
    const std::int64_t N = squares.N;
    double total = 0;
    if (slopes) slopes[p * N + p] = 0;
    for (std::int64_t q = p + 1; q < N; ++q) {
      double slope = 0;
      if (factors.angle > 0) {
        double sums[kTriangleSums];
        triangles(sums, p, q);
        total += sums[kAngleLoss];
        if (slopes) slope = factors.angle * triangle_slope(sums, u_s[p * N + q]);
      }
      if (!slopes) continue;
      if (factors.distance > 0)
        slope += factors.distance * distances.slope(squares.s[p * N + q], squares.t[p * N + q]);
      slopes[p * N + q] = slopes[q * N + p] = slope;
    }
    return total;
  }
};

}  // namespace

void relational_loss_forward_with_grad(Tensor& loss, Tensor& dsquares, const Tensor& receiver,
                                       const Tensor& source, const RelationalOptions& options) {
  const std::int64_t N = receiver.dim(0);
  const RelationalFactors factors(options, N);
  const Squares squares{receiver.data<double>(), source.data<double>(), N};
  double total = 0;
  RelativeDistances distances{};
  if (factors.distance > 0) {
    distances = squares.distances(total);
    total *= options.distance_weight;
  }
  Tensor u_s, u_t, angles = Tensor::empty({N}, DType::f64);
  if (factors.angle > 0) {
    u_s = inverse_roots(squares.s, N);
    u_t = inverse_roots(squares.t, N);
  }
  const Pairs pairs{squares,   data_or_null<double>(u_s),     data_or_null<double>(u_t), factors,
                    distances, data_or_null<double>(dsquares)};
  double* rows = angles.data<double>();
  // The first rows have the most later ones, the last the fewest: a task takes one of each.
  parallel_for((N + 1) / 2, [=](std::int64_t p) {
    simd([=](auto) {
      rows[p] = pairs.row(p);
      const std::int64_t other = N - 1 - p;
      if (other != p) rows[other] = pairs.row(other);
    });
  });
  double penalties = 0;
  for (std::int64_t p = 0; p < N; ++p) penalties += rows[p];
  total += factors.angle * penalties;
  if (loss.dtype() == DType::f64)
    *loss.data<double>() = total;
  else
    *loss.data<float>() = static_cast<float>(total);
}

}  // namespace cpu
}  // namespace limbeck

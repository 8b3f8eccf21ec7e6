// SPDX-License-Identifier: Apache-2.0
// The relational loss as it is defined, from directions x_i - x_j over their lengths, and its
// gradient through these: nothing of it is computed from squares.
#pragma once

#include <cmath>
#include <vector>

#include <limbeck/kernels/relational_loss.h>

namespace limbeck::testing {

/// N points as rows of x (N,D).
struct DirectedPoints {
  std::size_t N, D;
  std::vector<double> length, direction;  ///< (N,N), (N,N,D): of x_i - x_j, or 0
  double mean = 0;                        ///< of lengths of pairs

  DirectedPoints(const std::vector<double>& x, std::int64_t rows)
      : N(static_cast<std::size_t>(rows)), D(x.size() / N), length(N * N), direction(N * N * D) {
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t j = 0; j < N; ++j) {
        double square = 0;
        for (std::size_t d = 0; d < D; ++d) square += std::pow(x[i * D + d] - x[j * D + d], 2);
        const double l = length[i * N + j] = std::sqrt(square);
        for (std::size_t d = 0; l > 0 && d < D; ++d)
          direction[(i * N + j) * D + d] = (x[i * D + d] - x[j * D + d]) / l;
        if (N > 1) mean += l / static_cast<double>(N * (N - 1));
      }
  }
  const double* to(std::size_t i, std::size_t j) const { return &direction[(i * N + j) * D]; }
  double ratio(std::size_t i, std::size_t j) const {
    return mean > 0 ? length[i * N + j] / mean : 0;
  }
  /// Of the angle at j.
  double cosine(std::size_t i, std::size_t j, std::size_t k) const {
    double sum = 0;
    for (std::size_t d = 0; d < D; ++d) sum += to(i, j)[d] * to(k, j)[d];
    return sum;
  }
};

struct RelationalDefinition {
  double loss = 0;
  std::vector<double> gradient;  ///< (N,D), of the receiver

  RelationalDefinition(const std::vector<double>& receiver, const std::vector<double>& source,
                       std::int64_t rows, const RelationalOptions& options)
      : gradient(receiver.size()), s_(receiver, rows), t_(source, rows) {
    if (rows >= 2) add_distances(options.distance_weight);
    if (rows >= 3) add_angles(options.angle_weight);
  }

 private:
  /// Adds weight h(e), and returns its slope.
  double penalty(double e, double weight) {
    const double a = std::abs(e);
    loss += weight * (a <= 1 ? e * e / 2 : a - 0.5);
    return weight * (a <= 1 ? e : std::copysign(1, e));
  }
  void add_distances(double weight) {
    const auto n = static_cast<double>(s_.N);
    const double share = 1 / (n * (n - 1));
    std::vector<double> slope(s_.N * s_.N);
    double drift = 0;
    for (std::size_t i = 0; i < s_.N; ++i)
      for (std::size_t j = 0; j < s_.N; ++j) {
        if (i == j) continue;
        slope[i * s_.N + j] = penalty(s_.ratio(i, j) - t_.ratio(i, j), weight * share);
        drift += slope[i * s_.N + j] * s_.ratio(i, j);
      }
    for (std::size_t i = 0; i < s_.N; ++i)
      for (std::size_t j = 0; j < s_.N && s_.mean > 0; ++j) {
        if (i == j) continue;
        const double by_length = (slope[i * s_.N + j] - drift * share) / s_.mean;
        for (std::size_t d = 0; d < s_.D; ++d) {
          gradient[i * s_.D + d] += by_length * s_.to(i, j)[d];
          gradient[j * s_.D + d] -= by_length * s_.to(i, j)[d];
        }
      }
  }
  void add_angles(double weight) {
    const auto n = static_cast<double>(s_.N);
    const double share = weight / (n * (n - 1) * (n - 2));
    for (std::size_t i = 0; i < s_.N; ++i)
      for (std::size_t j = 0; j < s_.N; ++j)
        for (std::size_t k = 0; k < s_.N; ++k) {
          if (i == j || j == k || i == k) continue;
          const double c = s_.cosine(i, j, k);
          const double slope = penalty(c - t_.cosine(i, j, k), share);
          add_slope(slope, i, j, k, c);
          add_slope(slope, k, j, i, c);
        }
  }
  /// Through the direction of i from j, of which the cosine with that of k is c.
  void add_slope(double slope, std::size_t i, std::size_t j, std::size_t k, double c) {
    const double length = s_.length[i * s_.N + j];
    for (std::size_t d = 0; length > 0 && d < s_.D; ++d) {
      const double g = slope * (s_.to(k, j)[d] - c * s_.to(i, j)[d]) / length;
      gradient[i * s_.D + d] += g;
      gradient[j * s_.D + d] -= g;
    }
  }

  DirectedPoints s_, t_;
};

}  // namespace limbeck::testing

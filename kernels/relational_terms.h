// SPDX-License-Identifier: Apache-2.0
// Internal: what a pair and a triangle add to the relational loss, on either device.
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/relational_loss.h>

namespace limbeck {

/// What the loss of a pair and of an angle are multiplied by; 0 where a part is not computed.
struct RelationalFactors {
  double distance = 0;  ///< of a pair i < j
  double angle = 0;     ///< of an angle between rows i < k

  RelationalFactors(const RelationalOptions& options, std::int64_t N) {
    const auto n = static_cast<double>(N);
    if (N >= 2) distance = options.distance_weight * 2 / (n * (n - 1));
    if (N >= 3) angle = options.angle_weight * 2 / (n * (n - 1) * (n - 2));
  }
};

/// Huber's penalty and its slope.
struct Huber {
  double loss, slope;
};
LIMBECK_HD Huber huber(double e) {
  const double low = e < -1.0 ? -1.0 : e;
  const double slope = low > 1.0 ? 1.0 : low;
  return {slope * (e - 0.5 * slope), slope};
}

LIMBECK_HD double inverse_or_0(double x) { return x > 0.0 ? 1.0 / x : 0.0; }

/// Distances over their means.
struct RelativeDistances {
  double receiver, source;  ///< 1 / mean
  double drift;             ///< the mean of slope times receiver's ratio: what moves the mean

  struct Pair {
    Huber error;
    double distance, ratio;  ///< the receiver's
  };
  /// Of two points with these squares.
  LIMBECK_HD Pair at(double s, double t) const {
    const double distance = math::sqrt(s), ratio = distance * receiver;
    return {huber(ratio - math::sqrt(t) * source), distance, ratio};
  }
  /// d(sum of penalties)/ds. With r = d / m and n pairs, dr_kl/dd_ij is 1/m where kl is ij, less
  /// r_kl / (n m): dd_ij = (slope_ij - drift) / m, and d is the root of s.
  LIMBECK_HD double slope(double s, double t) const {
    const Pair pair = at(s, t);
    return (pair.error.slope - drift) * receiver * 0.5 * inverse_or_0(pair.distance);
  }
};

/// 1 / sqrt(2 square), or 0: then the cosines it is in are 0 and have no gradient.
LIMBECK_HD double inverse_root(double square) { return inverse_or_0(math::sqrt(2.0 * square)); }

/// A side of a triangle: its square and inverse_root of that.
struct Side {
  double square, inverse;
};

/// The triangle of a pair of points p and q with a third one, r.
struct Triangle {
  Side pr, qr, pq;

  LIMBECK_HD double at_r() const {
    return (pr.square + qr.square - pq.square) * (pr.inverse * qr.inverse);
  }
  LIMBECK_HD double at_p() const {
    return (pq.square + (pr.square - qr.square)) * (pr.inverse * pq.inverse);
  }
  LIMBECK_HD double at_q() const {
    return (pq.square - (pr.square - qr.square)) * (qr.inverse * pq.inverse);
  }
};

/// Sums over r of what the triangles of p and q add to the loss by their angle at r (every angle
/// has one such pair) and to its slope by |pq|^2 by all three. With u = inverse_root:
///   dc_r/d|pq|^2 = -u_pr u_qr, dc_p/d|pq|^2 = u_pr u_pq - c_p u_pq^2, and c_q likewise.
/// r may be p or q, which adds nothing.
enum TriangleSum { kAngleLoss, kOpposite, kBeside, kLonger, kTriangleSums };

template <class Sums, class Lane>
LIMBECK_HD void add_angle(Sums& sums, Lane lane, const Triangle& s, const Triangle& t) {
  sums[kAngleLoss][lane] += huber(s.at_r() - t.at_r()).loss;
}
template <class Sums, class Lane>
LIMBECK_HD void add_triangle(Sums& sums, Lane lane, const Triangle& s, const Triangle& t) {
  const double c_p = s.at_p(), c_q = s.at_q();
  const Huber r = huber(s.at_r() - t.at_r());
  const double p = huber(c_p - t.at_p()).slope, q = huber(c_q - t.at_q()).slope;
  sums[kAngleLoss][lane] += r.loss;
  sums[kOpposite][lane] = math::fma(r.slope, s.pr.inverse * s.qr.inverse, sums[kOpposite][lane]);
  sums[kBeside][lane] = math::fma(p, s.pr.inverse, math::fma(q, s.qr.inverse, sums[kBeside][lane]));
  sums[kLonger][lane] = math::fma(p, c_p, math::fma(q, c_q, sums[kLonger][lane]));
}

/// The slope by |pq|^2 from those sums.
LIMBECK_HD double triangle_slope(const double* sums, double inverse) {
  return inverse * (sums[kBeside] - inverse * sums[kLonger]) - sums[kOpposite];
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// How often sparse vectors come back from so many random measurements.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/distill/measurement_matrix.h>

namespace limbeck {

/// The experiment of Tropp and Gilbert, "Signal recovery from random measurements via orthogonal
/// matching pursuit" (2007): vectors of D elements, s of which, at random, are 1 and the others 0;
/// each with a matrix of its own.
struct RecoveryTrials {
  std::int64_t dimension = 256;  ///< D
  std::int64_t trials = 1000;
  MeasurementKind matrix = MeasurementKind::gaussian;
  bool fista = false;  ///< instead of omp: 500 iterations, lambda a thousandth of the largest
  std::uint64_t seed = 0;
};

/// Share of the trials in which the s largest elements of what is recovered are those of the
/// vector. A function of the arguments alone. Trial i has matrix {seed, layer i} and its elements
/// from the stream {seed, s, i, RngPurpose::data}. 1 <= measurements, sparsity <= D.
double recovered_share(const RecoveryTrials& trials, std::int64_t sparsity,
                       std::int64_t measurements);

struct RecoveryCurve {
  std::int64_t sparsity = 0;
  std::vector<std::int64_t> measurements;
  std::vector<double> recovered;  ///< shares
  /// The first of the measurements at which 99 % is recovered; 0: none is.
  std::int64_t enough() const;
};

/// At the measurements given or, when there are none, at 2 s rounded up to a multiple of 4 and
/// every fourth number from there on, to the first that is enough.
RecoveryCurve recovery_curve(const RecoveryTrials& trials, std::int64_t sparsity,
                             const std::vector<std::int64_t>& measurements = {});

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/recovery_curve.h>

#include <algorithm>
#include <numeric>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>
#include <limbeck/distill/recovery_report.h>

namespace limbeck {
namespace {

constexpr double kEnough = 0.99;

/// `count` of the numbers below D, at random and in ascending order: the start of a Fisher-Yates
/// shuffle.
std::vector<std::int64_t> draw_support(std::int64_t D, std::int64_t count,
                                       const RngStream& stream) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(D));
  std::iota(numbers.begin(), numbers.end(), 0);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t word = philox_word(stream, static_cast<std::uint64_t>(i));
    const std::uint64_t step = word * static_cast<std::uint64_t>(D - i) >> 32;
    std::swap(numbers[static_cast<std::size_t>(i)], numbers[static_cast<std::size_t>(i) + step]);
  }
  numbers.resize(static_cast<std::size_t>(count));
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool recovers(const RecoveryTrials& trials, std::int64_t sparsity, std::int64_t measurements,
              std::uint32_t trial) {
  const std::int64_t D = trials.dimension;
  const MeasurementMatrix matrix(trials.matrix, measurements, D, trials.seed, trial, DType::f64);
  const std::vector<std::int64_t> support = draw_support(
      D, sparsity, {trials.seed, static_cast<std::uint32_t>(sparsity), trial, RngPurpose::data});
  Tensor x = Tensor::zeros({1, D}, DType::f64);
  for (const std::int64_t d : support) x.data<double>()[d] = 1;
  const Tensor y = matrix.apply(x), phi = matrix.dense();
  const Tensor found = trials.fista ? fista(phi, y, {.relative_lambda = 1e-3, .iterations = 500})
                                    : omp(phi, y, {.sparsity = std::min(sparsity, measurements)});
  return largest_elements(found.data<double>(), D, sparsity) == support;
}

void check(const RecoveryTrials& trials, std::int64_t sparsity) {
  const std::int64_t D = trials.dimension;
  LIMBECK_CHECK(trials.trials >= 1, "recover: trials is ", trials.trials, "; expected at least 1");
  LIMBECK_CHECK(D >= 1, "recover: dimension is ", D, "; expected at least 1");
  LIMBECK_CHECK(sparsity >= 1 && sparsity <= D, "recover: sparsity is ", sparsity,
                "; expected 1 to ", D);
}

}  // namespace

double recovered_share(const RecoveryTrials& trials, std::int64_t sparsity,
                       std::int64_t measurements) {
  check(trials, sparsity);
  const std::int64_t D = trials.dimension;
  LIMBECK_CHECK(measurements >= 1 && measurements <= D, "recover: measurements is ", measurements,
                "; expected 1 to ", D);
  std::vector<char> recovered(static_cast<std::size_t>(trials.trials));
  parallel_for(trials.trials, [&](std::int64_t trial) {
    recovered[static_cast<std::size_t>(trial)] =
        recovers(trials, sparsity, measurements, static_cast<std::uint32_t>(trial));
  });
  return static_cast<double>(std::count(recovered.begin(), recovered.end(), 1)) /
         static_cast<double>(trials.trials);
}

std::int64_t RecoveryCurve::enough() const {
  for (std::size_t i = 0; i < measurements.size(); ++i)
    if (recovered[i] >= kEnough) return measurements[i];
  return 0;
}

RecoveryCurve recovery_curve(const RecoveryTrials& trials, std::int64_t sparsity,
                             const std::vector<std::int64_t>& measurements) {
  check(trials, sparsity);
  RecoveryCurve curve{sparsity, {}, {}};
  const auto measure = [&](std::int64_t m) {
    curve.measurements.push_back(m);
    curve.recovered.push_back(recovered_share(trials, sparsity, m));
  };
  for (const std::int64_t m : measurements) measure(m);
  if (measurements.empty())
    for (std::int64_t m = (2 * sparsity + 3) / 4 * 4; m <= trials.dimension && curve.enough() == 0;
         m += 4)
      measure(m);
  return curve;
}

}  // namespace limbeck

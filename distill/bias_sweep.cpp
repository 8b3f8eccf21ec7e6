// SPDX-License-Identifier: Apache-2.0
// The exact search for the best common offset of some logits.
#include <limbeck/distill/bias_sweep.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace limbeck {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// One sample: right exactly while the offset is inside (from, to).
struct Sample {
  double from = kInfinity;
  double to = kInfinity;
  bool swept_label = false;
};

/// z_s and z_r, the best logits among the swept and the remaining classes, trade places at offset
/// z_r - z_s; the label must be the best of its side.
Sample make_sample(const double* z, std::int64_t V, std::int64_t label,
                   const std::vector<bool>& swept) {
  std::int64_t best[2] = {-1, -1};
  for (std::int64_t v = 0; v < V; ++v) {
    std::int64_t& b = best[swept[static_cast<std::size_t>(v)]];
    if (b < 0 || z[v] > z[b]) b = v;
  }
  const double flip = z[best[0]] - z[best[1]];
  if (label == best[1]) return {flip, kInfinity, true};
  if (label == best[0]) return {-kInfinity, flip, false};
  return {kInfinity, kInfinity, static_cast<bool>(swept[static_cast<std::size_t>(label)])};
}

SweepErrors errors_at(const std::vector<Sample>& samples, double offset) {
  SweepErrors errors;
  for (const Sample& s : samples) {
    const bool wrong = !(s.from < offset && offset < s.to);
    errors.all += wrong;
    errors.swept += wrong && s.swept_label;
  }
  return errors;
}

/// A point inside (from, to), as near to 0 as half the interval or 1 allows.
double inside(double from, double to) {
  if (from < 0 && 0 < to) return 0;
  const double margin = std::min(1.0, (to - from) / 2);
  return from >= 0 ? from + margin : to - margin;
}

std::vector<Sample> make_samples(const Tensor& logits, const Tensor& labels,
                                 const std::vector<bool>& swept) {
  const std::int64_t N = logits.dim(0), V = logits.dim(1);
  const std::vector<double> z = logits.to(Device::cpu()).to(DType::f64).to_vector<double>();
  const std::vector<std::int32_t> y = labels.to_vector<std::int32_t>();
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(N));
  for (std::int64_t n = 0; n < N; ++n)
    samples.push_back(make_sample(z.data() + n * V, V, y[static_cast<std::size_t>(n)], swept));
  return samples;
}

/// The offset with the fewest errors. Walking up the sorted flips, a sample of a swept label turns
/// right and any other wrong as its flip is passed.
double best_offset(const std::vector<Sample>& samples) {
  std::vector<std::pair<double, int>> flips;  // offset, change of the number of errors
  std::int64_t errors = 0;                    // at offset -infinity
  for (const Sample& s : samples) {
    errors += s.from != -kInfinity;
    if (s.from != -kInfinity && s.from != kInfinity) flips.emplace_back(s.from, -1);
    if (s.from == -kInfinity) flips.emplace_back(s.to, +1);
  }
  std::sort(flips.begin(), flips.end());
  double best = 0, from = -kInfinity;
  std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t i = 0; i <= flips.size(); ++i) {
    const double to = i < flips.size() ? flips[i].first : kInfinity;
    if (from < to) {
      const double offset = inside(from, to);
      if (errors < fewest || (errors == fewest && std::abs(offset) < std::abs(best))) {
        fewest = errors;
        best = offset;
      }
    }
    if (i < flips.size()) errors += flips[i].second;
    from = to;
  }
  return best;
}

}  // namespace

BiasSweep sweep_bias(const Tensor& logits, const Tensor& labels,
                     const std::vector<std::int64_t>& classes) {
  LIMBECK_CHECK(logits.rank() == 2 && labels.shape() == Shape{logits.dim(0)},
                "sweep_bias: logits have shape ", logits.shape(), ", labels ", labels.shape(),
                "; expected (N,V) and (N)");
  const std::int64_t V = logits.dim(1);
  std::vector<bool> swept(static_cast<std::size_t>(V));
  for (std::int64_t c : classes) {
    LIMBECK_CHECK(c >= 0 && c < V && !swept[static_cast<std::size_t>(c)], "sweep_bias: class ", c,
                  "; expected distinct classes in [0,", V, ")");
    swept[static_cast<std::size_t>(c)] = true;
  }
  const auto count = static_cast<std::int64_t>(classes.size());
  LIMBECK_CHECK(count > 0 && count < V, "sweep_bias: ", count, " of ", V,
                " classes; expected at least one and not all");
  const std::vector<Sample> samples = make_samples(logits, labels, swept);
  BiasSweep result;
  result.offset = best_offset(samples);
  result.as_is = errors_at(samples, 0);
  result.best = errors_at(samples, result.offset);
  return result;
}

}  // namespace limbeck

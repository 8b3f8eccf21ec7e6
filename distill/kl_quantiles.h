// SPDX-License-Identifier: Apache-2.0
// How a student's distance from its teacher spreads over samples: a mean hides the few that it does
// not follow at all.
#pragma once

#include <cstdint>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

struct Quantiles {
  double p5 = 0, p25 = 0, p50 = 0, p75 = 0, p95 = 0, max = 0;
};

/// Of at least one value; between two of them in their order, linearly (as NumPy does). All NaN
/// when one is NaN. Throws std::invalid_argument for none.
Quantiles quantiles_of(std::vector<double> values);

/// At tau = 1, in nats per sample.
struct KlQuantiles {
  Quantiles forward;  ///< KL(teacher || student)
  Quantiles reverse;  ///< KL(student || teacher)
};

/// Takes samples part by part and keeps two numbers of each.
class KlMeter {
 public:
  /// As FidelityMeter::add (distill/metrics.h).
  void add(const Tensor& student, const Tensor& teacher, const Tensor& labels);
  /// Throws std::invalid_argument when no row counted.
  KlQuantiles result() const;

 private:
  std::vector<double> forward_, reverse_;
};

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// What one training run of an experiment came to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/distill/bias_sweep.h>
#include <limbeck/distill/metrics.h>

namespace limbeck {

/// One model with one seed.
struct Result {
  std::string model;  ///< "teacher" or the arm's name
  std::uint64_t seed = 0;
  std::int64_t parameters = 0;
  std::int64_t steps = 0;            ///< 0 for a teacher that was loaded
  double ms_per_step = 0;            ///< wall time of the last uninterrupted part
  std::int64_t step_bytes = 0;       ///< of the memory with a step's tensors (Trainer::memory)
  std::int64_t step_pool_bytes = 0;  ///< that the pool would hold for them
  std::string digest;                ///< of the final weights
  Metrics test;                      ///< on the test data
  std::optional<Fidelity> fidelity;  ///< to the teacher, on the test data
  std::optional<BiasSweep> sweep;
  std::int64_t knowledge_bytes = 0;  ///< that a sample brought from the source; 0: no source
  /// Of a model that a weaker one taught (distill/performance_gap.h), by accuracy.
  std::optional<double> gap_recovered;
  std::optional<double> bits_per_token;      ///< of text: test.nll / log 2
  std::optional<double> bits_per_character;  ///< of text whose characters were counted
};

nlohmann::json write_result(const Result& result);
/// The inverse. Throws std::invalid_argument as JsonObject does; `path` is where it was found.
Result read_result(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck

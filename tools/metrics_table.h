// SPDX-License-Identifier: Apache-2.0
// How good models are, as a table.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <limbeck/distill/metrics.h>

namespace limbeck {

class TestSamples;

struct MeasuredModel {
  std::string name;
  std::int64_t parameters = 0;
  Metrics metrics;
  std::optional<double> brier = {};
};

/// Bits that a model of text needs for a token, or for a character where these were counted.
double bits(const Metrics& metrics, const TestSamples& samples);
/// "bits/character" or "bits/token".
std::string bits_unit(const TestSamples& samples);

/// A row per model; of text with its bits. All have a Brier score, or none.
std::string metrics_table(const std::vector<MeasuredModel>& models, const TestSamples& samples);

/// "0.1234"; four digits after the point.
std::string four_digits(double value);

}  // namespace limbeck

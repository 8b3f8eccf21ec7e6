// SPDX-License-Identifier: Apache-2.0
// Of limbeck compare: which channels have crossed, and what codes of a layer would keep of it.
#pragma once

#include <string>
#include <vector>

#include <limbeck/distill/batch_source.h>
#include <limbeck/distill/channel_probe.h>
#include <limbeck/distill/measurement_matrix.h>
#include <limbeck/distill/recovery_report.h>
#include <limbeck/nn/model_graph.h>

namespace limbeck {

/// Which channels of the teacher's layer the student's tells about.
struct LedgerView {
  std::string student, teacher;  ///< layers
  ChannelProbe probe;
};

/// What can be had back of a layer of the teacher from K random measurements of its D features.
struct RecoveryView {
  std::string layer;
  MeasurementKind matrix = MeasurementKind::rademacher;
  std::int64_t K = 0, D = 0;
  RecoveryReport report;
};

/// Nats of a channel half of whose variance is told: log(2)/2.
inline constexpr double kCrossed = 0.34657359027997264;
/// Samples that a channel ledger and a recovery look at, at most; of text, windows.
inline constexpr std::int64_t kLedgerSamples = 1000, kRecoverySamples = 64;
/// Features that are recovered, at most.
inline constexpr std::int64_t kMaxRecovered = 8192;

/// `layers` are the student's and the teacher's, or one name for both. Throws
/// std::invalid_argument.
LedgerView channel_audit(ModelGraph& student, BatchSource& student_data, ModelGraph& teacher,
                         BatchSource& teacher_data, const std::vector<std::string>& layers);

/// K of 0: a quarter of the features. Where the model's last layer alone reads `layer`, it judges
/// what was recovered. Throws std::invalid_argument.
RecoveryView recovery_audit(ModelGraph& teacher, BatchSource& data, const std::string& layer,
                            std::int64_t K);

}  // namespace limbeck

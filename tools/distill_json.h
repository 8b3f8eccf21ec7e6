// SPDX-License-Identifier: Apache-2.0
// Reads the "distill" of an arm.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/distill_config.h>

namespace limbeck {

/// Keys, where [..] may be left out:
///   mode, kd_weight, ce_weight, tau (where a term of the logits has a weight),
///   [reverse_kl_weight, jsd_weight, jsd_beta, tvd_weight, tckd_weight, nckd_weight]
///   [features], a list (tools/feature_json.h)
///   [schedule {begin, ramp, fall, end}], shares of the run (distill/lesson_schedule.h)
///   forward and reverse: [source], "teacher" or an earlier arm, which reverse must name;
///     [source_state], frozen_eval or frozen_batch_statistics; [top_k]; [confidence {weight, alpha,
///     ramp, threshold}] (distill/confidence.h)
///   forward: [virtual_teacher {form, right, tau}] (distill/virtual_teacher.h) in a source's place
///   reverse: [grow] (nn/grow.h)
///   mutual: [order], simultaneous or alternate; [students], how many; [to_student, to_teacher],
///     weights of the directions; [target]: each of the others, or one target of all (mean_logits,
///     mean_probabilities, naive, linear, min_logit; distill/ensemble.h), or gate
///     (distill/gated_ensemble.h)
/// Throws std::invalid_argument as JsonObject does.
DistillConfig read_distill(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck

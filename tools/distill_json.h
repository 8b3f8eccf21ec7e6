// SPDX-License-Identifier: Apache-2.0
// Reads the "distill" of an arm.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include <limbeck/tools/distill_config.h>

namespace limbeck {

/// Keys, where [..] may be left out: mode, kd_weight, ce_weight, tau (where a term of the logits
/// has a weight), [reverse_kl_weight, jsd_weight, jsd_beta, tvd_weight, tckd_weight, nckd_weight],
/// [features] (tools/feature_json.h), [schedule {begin, ramp, fall, end}] (distill/
/// lesson_schedule.h), [source, source_state, top_k] of forward and reverse, [virtual_teacher
/// {form, right, tau}] of forward, [grow] of reverse, [order, to_student, to_teacher, students] of
/// mutual. Throws std::invalid_argument as JsonObject does.
DistillConfig read_distill(const nlohmann::json& value, const std::string& path);

}  // namespace limbeck

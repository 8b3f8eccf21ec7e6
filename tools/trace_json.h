// SPDX-License-Identifier: Apache-2.0
// Ranges in the trace event format, which Perfetto (ui.perfetto.dev) and Chrome show.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include <limbeck/core/trace.h>

namespace limbeck {

/// {"traceEvents": [...]}: one complete event ("X") for each range, in microseconds since the
/// tracer began, its kind as the category.
nlohmann::json write_trace(const std::vector<TraceEvent>& events);

}  // namespace limbeck

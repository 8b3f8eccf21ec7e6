// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/trace_json.h>

namespace limbeck {

using nlohmann::json;

json write_trace(const std::vector<TraceEvent>& events) {
  json list = json::array();
  for (const TraceEvent& event : events) {
    json args = {{"launches", event.launches},
                 {"bytes_before", event.bytes_before},
                 {"bytes_after", event.bytes_after}};
    if (!event.place.empty()) args["place"] = event.place;
    list.push_back({{"name", event.name},
                    {"cat", trace_kind_name(event.kind)},
                    {"ph", "X"},
                    {"ts", 1e6 * event.begin},
                    {"dur", 1e6 * event.seconds()},
                    {"pid", 1},
                    {"tid", event.thread},
                    {"args", std::move(args)}});
  }
  return {{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}};
}

}  // namespace limbeck

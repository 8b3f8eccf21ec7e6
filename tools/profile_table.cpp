// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/profile_table.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/report.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// Three digits, nothing for what is not known.
std::string figure(double value) {
  if (!(value > 0)) return "";
  return fixed(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
}

std::string mebibytes(std::size_t bytes) {
  return fixed(static_cast<double>(bytes) / 0x1p20, 2) + " MiB";
}

std::vector<std::string> cells(const ProfileRow& row, bool gpu) {
  std::vector<std::string> list = {row.name,
                                   fixed(1e6 * row.seconds, 1),
                                   fixed(100 * row.share, 1) + " %",
                                   figure(row.work.bytes / 1e6),
                                   figure(row.work.flops / 1e6),
                                   ""};
  if (row.roofline.seconds > 0)
    list.back() = fixed(100 * row.of_ceiling(), 0) + " % of " + row.roofline.limit;
  if (gpu) list.push_back(fixed(row.launches, 0));
  return list;
}

std::string describe_whole(const Profiled& p) {
  const bool gpu = p.device.is_cuda();
  std::string text =
      detail::concat("arm ", p.arm, " on ", p.device, ", batch ", p.batch,
                     "\nstep: ", fixed(1e3 * p.whole.seconds, 3), " ms, mean of ", p.steps);
  if (gpu)
    text += detail::concat(", of which ", fixed(1e3 * p.whole.host_seconds, 3),
                           " ms to queue its work; ", p.whole.as_graph,
                           " of them launched as one graph, the others with ",
                           fixed(p.traced.launches, 0), " launches");
  return text + "\npeak activation memory: " + mebibytes(p.whole.activation_bytes) + " beside " +
         mebibytes(p.whole.resident_bytes) + " that stay\n\n";
}

}  // namespace

std::string profile_table(const Profiled& p) {
  const bool gpu = p.device.is_cuda();
  std::vector<std::vector<std::string>> rows = {
      {"part of a step", "us", "share", "MB", "MFLOP", "of the ceiling"}};
  if (gpu) rows[0].push_back("launches");
  for (const ProfileRow& row : p.traced.rows) rows.push_back(cells(row, gpu));
  rows.push_back({"all, traced", fixed(1e6 * p.traced.seconds, 1), "", "", "", ""});
  if (gpu) rows.back().push_back(fixed(p.traced.launches, 0));
  std::string text = describe_whole(p) + format_table(rows);
  if (gpu)
    text += "(each part waited for the GPU at both ends, so they add up to more than a step)\n";
  return text;
}

json write_profile(const Profiled& p) {
  json rows = json::array();
  for (const ProfileRow& r : p.traced.rows)
    rows.push_back({{"name", r.name},
                    {"kind", trace_kind_name(r.kind)},
                    {"s", r.seconds},
                    {"share", r.share},
                    {"launches", r.launches},
                    {"bytes", r.work.bytes},
                    {"flops", r.work.flops},
                    {"roofline_s", r.roofline.seconds},
                    {"limit", r.roofline.limit},
                    {"of_ceiling", r.of_ceiling()}});
  return {
      {"arm", p.arm},
      {"batch", p.batch},
      {"steps", p.steps},
      {"step",
       {{"s", p.whole.seconds},
        {"host_s", p.whole.host_seconds},
        {"launches", p.whole.launches},
        {"as_graph", p.whole.as_graph},
        {"resident_bytes", p.whole.resident_bytes},
        {"activation_bytes", p.whole.activation_bytes}}},
      {"traced",
       {{"s", p.traced.seconds}, {"launches", p.traced.launches}, {"waits", p.device.is_cuda()}}},
      {"parts", rows}};
}

}  // namespace limbeck

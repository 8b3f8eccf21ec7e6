// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench_table.h>

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/tools/bench/build_kind.h>
#include <limbeck/tools/version.h>

namespace limbeck {
namespace {

std::string rounded(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

/// Three digits of what is worth printing, nothing for what was not measured.
std::string figure(double value) {
  if (!(value > 0)) return "";
  return rounded(value, value < 10 ? 2 : value < 100 ? 1 : 0);
}

std::string right(const std::string& text, std::size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

std::string left(const std::string& text, std::size_t width) {
  return text + std::string(text.size() < width ? width - text.size() : 0, ' ');
}

std::string columns(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) line += right(cell, 10);
  return line;
}

const BenchResult* find(const std::vector<BenchResult>& results, const BenchResult& wanted) {
  const auto found = std::find_if(results.begin(), results.end(), [&](const BenchResult& r) {
    return r.name == wanted.name && r.shape == wanted.shape;
  });
  return found == results.end() ? nullptr : &*found;
}

std::string compare_line(const BenchResult& names, const BenchResult* before,
                         const BenchResult* after) {
  const auto time = [](const BenchResult* r) { return r ? figure(1e6 * r->median) : "-"; };
  return table_names(names.name, names.shape) +
         columns({time(before), time(after),
                  before && after ? rounded(before->median / after->median, 2) + "x" : "-"}) +
         "\n";
}

}  // namespace

std::string describe_run(Device device, const Ceilings& ceilings) {
  std::string text;
  const std::string slow = slow_build(device);
  if (!slow.empty())
    text += "WARNING: this is a slow build (" + slow + "): its times mean nothing\n";
  text += device_name(device);
  if (!device.is_cuda())
    text += ", " + std::to_string(num_threads()) + " threads, " + cpu_isa_name(cpu_isa());
  return text + ", limbeck " + commit() + "\n" + describe(ceilings, device) + "\n";
}

std::string table_header() {
  return table_names("benchmark", "shape") +
         columns({"median us", "min us", "GB/s", "GFLOP/s", "Gexp/s", "extra MiB"}) +
         "  of the ceiling\n";
}

std::string table_names(const std::string& name, const std::string& shape) {
  return left(name, 32) + " " + left(shape, 32);
}

std::string table_line(const BenchResult& r) {
  const double seconds = r.graph > 0 ? r.graph : r.median;
  const auto mebibytes = static_cast<double>(r.extra_bytes + r.extra_host_bytes) / 0x1p20;
  std::string line =
      table_names(r.name, r.shape) +
      columns({figure(1e6 * r.median), figure(1e6 * r.min), figure(r.work.bytes / seconds / 1e9),
               figure(r.work.flops / seconds / 1e9), figure(r.work.exps / seconds / 1e9),
               rounded(mebibytes, 1)});
  if (r.roofline.seconds > 0)
    line += "  " + right(rounded(100 * r.share(), 0), 3) + "% " + r.roofline.limit;
  if (r.graph > 0) line += "  " + figure(1e6 * r.graph) + " us in a graph";
  return line + "\n";
}

std::string compare_table(const std::vector<BenchResult>& old_results,
                          const std::vector<BenchResult>& new_results) {
  std::string table =
      table_names("benchmark", "shape") + columns({"old us", "new us", "old/new"}) + "\n";
  for (const BenchResult& r : new_results) table += compare_line(r, find(old_results, r), &r);
  for (const BenchResult& r : old_results)
    if (!find(new_results, r)) table += compare_line(r, &r, nullptr);
  return table;
}

}  // namespace limbeck

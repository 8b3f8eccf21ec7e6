// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench_report.h>

#include <ctime>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/build_kind.h>
#include <limbeck/tools/bench/stream.h>
#include <limbeck/tools/machine.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

std::string today() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&t));
  return text;
}

json machine(Device device) {
  json description = describe_machine(device);
  description["cpu"] = device_name(Device::cpu());
  description["l2_bytes"] = cache_bytes(device, 2);
  description["l3_bytes"] = cache_bytes(device, 3);
  return description;
}

json write(const Ceilings& ceilings) {
  json stream = json::array();
  for (const StreamPoint& p : ceilings.stream)
    stream.push_back({{"working_set", p.working_set}, {"bytes_per_second", p.bytes_per_second}});
  return {{"stream", stream},
          {"copy_bytes_per_second", ceilings.copy},
          {"fma_flops_per_second", ceilings.fma},
          {"product_f32_flops_per_second", ceilings.product_f32},
          {"product_bf16_flops_per_second", ceilings.product_bf16},
          {"exps_per_second", ceilings.exp}};
}

json write(const BenchResult& r) {
  return {{"name", r.name},
          {"shape", r.shape},
          {"median_s", r.median},
          {"min_s", r.min},
          {"graph_s", r.graph},
          {"samples", r.samples},
          {"slots", r.slots},
          {"extra_bytes", r.extra_bytes},
          {"extra_host_bytes", r.extra_host_bytes},
          {"bytes", r.work.bytes},
          {"flops", r.work.flops},
          {"exps", r.work.exps},
          {"product", dtype_name(r.work.product)},
          {"roofline_s", r.roofline.seconds},
          {"limit", r.roofline.limit},
          {"share", r.share()}};
}

BenchResult read(const json& r) {
  return {.name = r.at("name"),
          .shape = r.at("shape"),
          .median = r.at("median_s"),
          .min = r.at("min_s"),
          .graph = r.at("graph_s"),
          .samples = r.at("samples"),
          .slots = r.at("slots"),
          .extra_bytes = r.at("extra_bytes"),
          .extra_host_bytes = r.at("extra_host_bytes"),
          .work = {.bytes = r.at("bytes"),
                   .flops = r.at("flops"),
                   .exps = r.at("exps"),
                   .product = parse_dtype(r.at("product").get<std::string>())},
          .roofline = {.seconds = r.at("roofline_s"), .limit = r.at("limit")}};
}

}  // namespace

json write_bench(const Bench& bench, const BenchSettings& settings) {
  json results = json::array();
  for (const BenchResult& result : bench.results()) results.push_back(write(result));
  return {{"limbeck", version()},
          {"commit", commit()},
          {"date", today()},
          {"slow_build", slow_build(bench.device())},
          {"machine", machine(bench.device())},
          {"settings", {{"seconds", settings.seconds}, {"warm", settings.warm}}},
          {"ceilings", write(bench.ceilings())},
          {"results", results}};
}

std::vector<BenchResult> read_bench_results(const json& report, const std::string& file) {
  try {
    std::vector<BenchResult> results;
    for (const json& result : report.at("results")) results.push_back(read(result));
    return results;
  } catch (const json::exception& e) {
    throw std::invalid_argument(
        detail::concat(file, ": is not what limbeck bench --json writes: ", e.what()));
  }
}

std::string machine_differences(const json& old_report, const json& new_report) {
  std::string lines;
  const auto compare = [&](const json& before, const json& after, const std::string& what) {
    if (before != after)
      lines += "WARNING: the baseline has " + what + " " + before.dump() + ", this run " +
               after.dump() + "\n";
  };
  const auto part = [](const json& report, const char* key) {
    return report.value(key, json::object());
  };
  for (const char* group : {"machine", "settings"}) {
    const json before = part(old_report, group), after = part(new_report, group);
    for (const auto& [key, value] : after.items())
      if (key != "seconds") compare(before.value(key, json()), value, key);
  }
  compare(old_report.value("slow_build", json()), new_report.value("slow_build", json()),
          "slow_build");
  return lines;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include <limbeck/core/graph.h>
#include <limbeck/core/pool.h>
#include <limbeck/tools/bench/bench_table.h>
#include <limbeck/tools/bench/best_seconds.h>
#include <limbeck/tools/bench/build_kind.h>
#include <limbeck/tools/bench/random_tensor.h>
#include <limbeck/tools/bench/stream.h>

namespace limbeck {
namespace {

/// Times samples until `seconds` have passed, at least 7 and at most 1000, and sorts them.
template <class Sample>
std::vector<double> collect(double seconds, Sample&& sample) {
  std::vector<double> times;
  const double start = seconds_now();
  while (times.size() < 7 || (seconds_now() - start < seconds && times.size() < 1000))
    times.push_back(sample());
  std::sort(times.begin(), times.end());
  return times;
}

double median(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }

/// Most bytes in use since `before`, beyond what was in use then.
std::int64_t extra(Device device, const PoolStats& before) {
  return static_cast<std::int64_t>(pool_stats(device).peak - before.in_use);
}

/// Median time of one call within a graph of many; 0 when a call cannot be captured.
double graph_seconds(Device device, std::int64_t calls, double seconds,
                     const std::function<void()>& call) {
  std::optional<Graph> graph;
  try {
    graph.emplace(device, [&] {
      for (std::int64_t i = 0; i < calls; ++i) call();
    });
  } catch (const CudaError&) {
    return 0;
  }
  const auto sample = [&] {
    const double start = seconds_now();
    graph->launch();
    synchronize(device);
    return (seconds_now() - start) / static_cast<double>(calls);
  };
  sample();
  return median(collect(seconds, sample));
}

}  // namespace

Bench::Bench(Device device, const Ceilings& ceilings, const BenchSettings& settings,
             std::ostream& out)
    : device_(device), ceilings_(ceilings), settings_(settings), out_(out) {
  out_ << describe_run(device_, ceilings_) << table_header() << std::flush;
}

Tensor Bench::random(const Shape& shape, double scale, DType dtype) {
  Tensor values = random_tensor(shape, scale, dtype, device_, draws_++);
  if (watching_) watched_.push_back(values);
  return values;
}

Tensor Bench::random_index(const Shape& shape, std::int64_t below) {
  return random_index_tensor(shape, below, device_, draws_++);
}

std::int64_t Bench::slot_count(const Work& work) const {
  if (settings_.warm || work.bytes == 0) return 1;
  const double caches = std::max(cache_bytes(device_, 2), cache_bytes(device_, 3));
  const double most = 256;  // tiny calls may stay in the caches, as they do in training
  return static_cast<std::int64_t>(std::clamp(std::ceil(2 * caches / work.bytes), 1.0, most));
}

void Bench::measure(const std::string& name, const std::string& shape, const Work& work,
                    std::int64_t slots, const std::function<void()>& call) {
  if (refuses_zeros(name, shape, "before the first call")) return;
  // Seconds per call over `calls` queued one after another.
  const auto sample = [&](std::int64_t calls) {
    const double start = seconds_now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    synchronize(device_);
    return (seconds_now() - start) / static_cast<double>(calls);
  };
  BenchResult result{.name = name, .shape = shape, .slots = slots, .work = work};
  const PoolStats before = pool_stats(device_), host_before = pool_stats(Device::cpu());
  pool_reset_peak(device_);
  pool_reset_peak(Device::cpu());
  sample(2);  // warm-up
  result.extra_bytes = extra(device_, before);
  if (device_.is_cuda()) result.extra_host_bytes = extra(Device::cpu(), host_before);
  // So many calls that the clock, and a GPU's queue running empty, do not matter.
  const double shortest = device_.is_cuda() ? 2e-3 : 1e-4, once = sample(1);
  const auto calls = static_cast<std::int64_t>(std::max(1.0, std::ceil(shortest / once)));

  const std::vector<double> times = collect(settings_.seconds, [&] { return sample(calls); });
  result.median = median(times);
  result.min = times[0];
  result.samples = static_cast<std::int64_t>(times.size());
  if (device_.is_cuda() && result.median < 1e-4)
    result.graph = graph_seconds(device_, calls, settings_.seconds, call);
  if (refuses_zeros(name, shape, "after the last call")) return;
  result.roofline = roofline(work, work.bytes * static_cast<double>(slots), ceilings_);
  results_.push_back(result);
  out_ << table_line(result) << std::flush;
}

bool Bench::skips_large(const std::string& name, const std::string& shape, const Work& work) {
  const double most = 4e6;  // bytes
  if (!is_emulated(device_) || work.bytes <= most) return false;
  skip(name, shape, "too much for an emulated GPU");
  return true;
}

void Bench::skip(const std::string& name, const std::string& shape, const std::string& why) {
  out_ << table_names(name, shape) << "  skipped: " << why << std::endl;
}

void Bench::skip_or_rethrow(const std::string& name, const std::string& shape,
                            const CudaError& error) {
  if (std::string(error.what()).find("out of memory") == std::string::npos) throw;
  skip(name, shape, "does not fit in the GPU's memory");
}

void Bench::forget() {
  watched_.clear();
  watching_ = false;
  pool_release_cache(device_);
  pool_release_cache(Device::cpu());
}

bool Bench::refuses_zeros(const std::string& name, const std::string& shape, const char* when) {
  const auto zeros = std::find_if(watched_.begin(), watched_.end(), starts_with_zeros_only);
  if (zeros == watched_.end()) return false;
  skip(name, shape, detail::concat("an input of shape ", zeros->shape(), " is all zeros ", when));
  ++refused_;
  return true;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench.h>

#include <chrono>
#include <cmath>
#include <iomanip>
#include <sstream>

#include <limbeck/core/error.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>
#include <limbeck/core/simd.h>

namespace limbeck {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string rounded(double value, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

constexpr std::uint64_t kSeed = 20240229;

/// Element i of the draw-th random tensor.
float uniform(std::uint32_t draw, std::int64_t i) {
  const RngStream stream{kSeed, 0, draw, RngPurpose::data};
  return uniform_from_word(philox_word(stream, static_cast<std::uint64_t>(i)));
}

}  // namespace

Bench::Bench(Device device, const Ceilings& ceilings, double seconds, std::ostream& out)
    : device_(device), ceilings_(ceilings), seconds_(seconds), out_(out) {
#ifndef NDEBUG
  out_ << "warning: this is a debug build; its times mean nothing\n";
#endif
  out_ << device_name(device_);
  if (!device_.is_cuda()) out_ << ", " << num_threads() << " threads, " << cpu_isa_name(cpu_isa());
  if (ceilings_.bytes_per_second > 0)
    out_ << ", bandwidth " << rounded(ceilings_.bytes_per_second / 1e9, 1) << " GB/s";
  if (ceilings_.flops_per_second > 0)
    out_ << ", fma " << rounded(ceilings_.flops_per_second / 1e9, 0) << " GFLOP/s";
  out_ << std::endl;
}

Tensor Bench::random(const Shape& shape, double scale, DType dtype) {
  Tensor values = Tensor::empty(shape);
  const std::uint32_t draw = draws_++;
  float* v = values.data<float>();
  parallel_ranges(values.numel(), 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      v[i] = static_cast<float>(scale) * (2 * uniform(draw, i) - 1);
  });
  return values.to(dtype).to(device_);
}

Tensor Bench::random_index(const Shape& shape, std::int64_t below) {
  Tensor values = Tensor::empty(shape, DType::i32);
  const std::uint32_t draw = draws_++;
  for (std::int64_t i = 0; i < values.numel(); ++i)
    values.data<std::int32_t>()[i] =
        static_cast<std::int32_t>(uniform(draw, i) * static_cast<float>(below));
  return values.to(device_);
}

std::int64_t Bench::slot_count(const Work& work) const {
  const double most = 256;  // tiny calls may stay in the caches, as they do in training
  const double wanted = work.bytes > 0 ? 2 * cache_bytes(device_) / work.bytes : 1;
  return static_cast<std::int64_t>(std::clamp(std::ceil(wanted), 1.0, most));
}

void Bench::measure(const std::string& name, const std::string& shape, const Work& work,
                    const std::function<void()>& call) {
  const std::size_t kFewest = 7, kMost = 1000;  // samples, whatever the time
  // Seconds per call over `calls` queued one after another.
  const auto sample = [&](std::int64_t calls) {
    const double start = now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    synchronize(device_);
    return (now() - start) / static_cast<double>(calls);
  };
  sample(2);  // warm-up
  // So many calls that the clock, and a GPU's queue running empty, do not matter.
  const double shortest = device_.is_cuda() ? 2e-3 : 1e-4;
  const auto calls = static_cast<std::int64_t>(std::max(1.0, std::ceil(shortest / sample(1))));

  std::vector<double> seconds;
  const double start = now();
  while (seconds.size() < kFewest || (now() - start < seconds_ && seconds.size() < kMost))
    seconds.push_back(sample(calls));
  std::sort(seconds.begin(), seconds.end());
  results_.push_back({name, shape, seconds[seconds.size() / 2], seconds[0],
                      static_cast<std::int64_t>(seconds.size()), work});
  print(results_.back());
}

void Bench::print(const BenchResult& result) const {
  std::ostringstream line;
  line << std::left << std::setw(36) << result.name << std::setw(34) << result.shape << std::right
       << std::setw(11) << rounded(result.median * 1e6, 1) << " us (min "
       << rounded(result.min * 1e6, 1) << ", n=" << result.samples << ")";
  if (result.work.bytes > 0)
    line << "  " << rounded(result.work.bytes / result.median / 1e9, 1) << " GB/s";
  if (result.work.flops > 0)
    line << "  " << rounded(result.work.flops / result.median / 1e9, 1) << " GFLOP/s";
  const std::string share = share_of_ceiling(result, ceilings_);
  out_ << line.str() << (share.empty() ? "" : "  " + share) << std::endl;
}

std::string share_of_ceiling(const BenchResult& result, const Ceilings& ceilings) {
  const auto share = [&](double amount, double per_second) {
    return per_second > 0 ? 100 * amount / per_second / result.median : 0.0;
  };
  const double bandwidth = share(result.work.bytes, ceilings.bytes_per_second);
  const double fma = share(result.work.flops, ceilings.flops_per_second);
  if (bandwidth == 0 && fma == 0) return "";
  return fma > bandwidth ? rounded(fma, 0) + "% of fma" : rounded(bandwidth, 0) + "% of bandwidth";
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/ceilings.h>

#include <cmath>
#include <iomanip>
#include <sstream>

#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/tools/bench/best_seconds.h>
#include <limbeck/tools/bench/build_kind.h>
#include <limbeck/tools/bench/random_tensor.h>
#include <limbeck/tools/bench/stream.h>

namespace limbeck {
namespace {

/// Runs body(i) on every thread at once; seconds of the best time.
template <class Body>
double seconds_on_all_threads(Body&& body) {
  const int threads = num_threads();
  std::vector<float> keep(static_cast<std::size_t>(threads));  // or nothing would be computed
  return best_seconds([&] {
    parallel_for(threads, [&](std::int64_t i) {
      keep[static_cast<std::size_t>(i)] = body(static_cast<float>(i + 1));
    });
  });
}

constexpr int kChains = 10;  // enough to hide the latency of 4 cycles on two units
constexpr int kRounds = 1 << 20;

/// kRounds fused multiply-adds on kChains vectors that stay in registers.
float run_chains(float start) {
  float total = 0;
  simd([&](auto lanes) {
    float acc[kChains][lanes.value];
    for (auto& chain : acc)
      for (float& x : chain) x = start;
    for (int round = 0; round < kRounds; ++round)
      for (auto& chain : acc)
#pragma omp simd
        for (int j = 0; j < lanes.value; ++j) chain[j] = __builtin_fmaf(chain[j], 0.999f, start);
    for (auto& chain : acc)
      for (float x : chain) total += x;
  });
  return total;
}

int vector_lanes() {
  int lanes = 0;
  simd([&](auto width) { lanes = width.value; });
  return lanes;
}

double fma_flops_per_second() {
  return 2.0 * kChains * kRounds * vector_lanes() * num_threads() /
         seconds_on_all_threads(run_chains);
}

constexpr int kExps = 2048, kExpRounds = 1024;

float run_exps(float start) {
  float x[kExps], y[kExps];
  for (int i = 0; i < kExps; ++i) x[i] = -start * static_cast<float>(i % 64) / 64;
  for (int round = 0; round < kExpRounds; ++round) {
    simd([&](auto) {
#pragma omp simd
      for (int i = 0; i < kExps; ++i) y[i] = math::exp(x[i]);
    });
    x[round] = -y[round];  // each round depends on the one before
  }
  return y[kExps - 1];
}

double exps_per_second() {
  return 1.0 * kExps * kExpRounds * num_threads() / seconds_on_all_threads(run_exps);
}

double product_flops_per_second(DType dtype, Device device) {
  const std::int64_t n = device.is_cuda() ? 8192 : 768;
  const Tensor a = random_tensor({n, n}, 1, dtype, device, 0);
  const Tensor b = random_tensor({n, n}, 1, dtype, device, 1);
  Tensor c = Tensor::zeros({n, n}, dtype, device);
  const double seconds = best_seconds([&] {
    matmul(c, a, Trans::no, b, Trans::no);
    synchronize(device);
  });
  return 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds;
}

/// From what fits in one core's first cache to four times what fits in the last.
std::vector<StreamPoint> stream_points(Device device) {
  const double last = device.is_cuda() ? 1e9 : std::max(4 * cache_bytes(device, 3), 64e6);
  std::int64_t bytes = std::int64_t{1} << (device.is_cuda() ? 20 : 16);
  std::vector<StreamPoint> points;
  for (; static_cast<double>(bytes) < 2 * last; bytes *= 2) {
    const auto working_set = static_cast<double>(bytes);
    points.push_back({working_set, measure_stream(device, working_set)});
  }
  return points;
}

Ceilings measure_once(Device device) {
  Ceilings ceilings{.stream = stream_points(device), .copy = measure_copy(device)};
  ceilings.product_f32 = product_flops_per_second(DType::f32, device);
  ceilings.product_bf16 = product_flops_per_second(DType::bf16, device);
  if (device.is_cuda()) return ceilings;
  ceilings.fma = fma_flops_per_second();
  ceilings.exp = exps_per_second();
  return ceilings;
}

void raise(double& to, double value) { to = std::max(to, value); }

/// The larger of each; what neighbours on the machine take shows in some passes only.
Ceilings larger(const Ceilings& a, const Ceilings& b) {
  if (a.stream.empty()) return b;
  Ceilings best = a;
  for (std::size_t i = 0; i < a.stream.size(); ++i)
    raise(best.stream[i].bytes_per_second, b.stream[i].bytes_per_second);
  for (double Ceilings::*rate : {&Ceilings::copy, &Ceilings::fma, &Ceilings::product_f32,
                                 &Ceilings::product_bf16, &Ceilings::exp})
    raise(best.*rate, b.*rate);
  return best;
}

}  // namespace

double Ceilings::stream_at(double working_set) const {
  if (stream.empty()) return 0;
  if (working_set <= stream.front().working_set) return stream.front().bytes_per_second;
  for (std::size_t i = 1; i < stream.size(); ++i) {
    const StreamPoint &below = stream[i - 1], &above = stream[i];
    if (working_set > above.working_set) continue;
    const double part =
        std::log(working_set / below.working_set) / std::log(above.working_set / below.working_set);
    return below.bytes_per_second + part * (above.bytes_per_second - below.bytes_per_second);
  }
  return stream.back().bytes_per_second;
}

Ceilings measure_ceilings(Device device) {
  Ceilings best;
  if (is_emulated(device)) return best;
  for (int pass = 0; pass < 3; ++pass) best = larger(best, measure_once(device));
  // Less data is never slower: what says otherwise was disturbed.
  for (std::size_t i = best.stream.size() - 1; i > 0; --i)
    raise(best.stream[i - 1].bytes_per_second, best.stream[i].bytes_per_second);
  return best;
}

Roofline roofline(const Work& work, double working_set, const Ceilings& ceilings) {
  Roofline result;
  const auto consider = [&](double amount, double per_second, const char* limit) {
    if (per_second > 0 && amount / per_second > result.seconds)
      result = {amount / per_second, limit};
  };
  const double product = work.product == DType::f32 ? ceilings.product_f32 : ceilings.product_bf16;
  consider(work.bytes, ceilings.stream_at(working_set), "bandwidth");
  consider(work.flops, std::max(product, ceilings.fma), "product");
  consider(work.exps, ceilings.exp, "exp");
  return result;
}

std::string describe(const Ceilings& ceilings, Device device) {
  std::ostringstream text;
  text << std::fixed;
  const auto line = [&](const char* what, double rate, const char* unit, int digits) {
    if (rate > 0)
      text << "  " << std::left << std::setw(34) << what << std::right << std::setw(9)
           << std::setprecision(digits) << rate / 1e9 << " " << unit << "\n";
  };
  if (!ceilings.stream.empty()) {
    for (const int level : {2, 3})
      if (const double half = cache_bytes(device, level) / 2; half > 0)
        line(level == 2 ? "c = a + b in the L2 cache" : "c = a + b in the L3 cache",
             ceilings.stream_at(half), "GB/s", 1);
    line("c = a + b in memory", ceilings.stream.back().bytes_per_second, "GB/s", 1);
  }
  line("copy in memory", ceilings.copy, "GB/s", 1);
  line("matrix product, f32", ceilings.product_f32, "GFLOP/s", 0);
  line("matrix product, bf16", ceilings.product_bf16, "GFLOP/s", 0);
  line("multiply-adds in registers, f32", ceilings.fma, "GFLOP/s", 0);
  line("exponentials", ceilings.exp, "G/s", 2);
  return text.str();
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/ceilings.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>

namespace limbeck {
namespace {

/// The shortest of ten runs.
template <class Fn>
double best_seconds(Fn&& fn) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    fn();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

double stream_bytes_per_second() {
  const std::int64_t n = std::int64_t{1} << 24;  // 64 MiB in each of three arrays
  const Tensor a = Tensor::full({n}, 1), b = Tensor::full({n}, 2);
  Tensor c = Tensor::zeros({n});
  const float *x = a.data<float>(), *y = b.data<float>();
  float* z = c.data<float>();
  const double seconds = best_seconds([&] {
    parallel_ranges(n, std::int64_t{1} << 16, [&](std::int64_t begin, std::int64_t end) {
      simd([&](auto) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) z[i] = x[i] + y[i];
      });
    });
  });
  return 12.0 * static_cast<double>(n) / seconds;
}

constexpr int kChains = 10;  // enough to hide the latency of 4 cycles on two units
constexpr int kRounds = 1 << 20;

/// kRounds fused multiply-adds on kChains vectors that stay in registers; returns what they add up
/// to, so that they cannot be left out.
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
  const int threads = num_threads();
  std::vector<float> keep(static_cast<std::size_t>(threads));
  const double seconds = best_seconds([&] {
    parallel_for(threads, [&](std::int64_t i) {
      keep[static_cast<std::size_t>(i)] = run_chains(static_cast<float>(i + 1));
    });
  });
  return 2.0 * kChains * kRounds * vector_lanes() * threads / seconds;
}

double copy_bytes_per_second(Device device) {
  const std::int64_t bytes = std::int64_t{1} << 28;
  const Tensor src = Tensor::zeros({bytes}, DType::u8, device);
  Tensor dst = Tensor::zeros({bytes}, DType::u8, device);
  synchronize(device);
  const double seconds = best_seconds([&] {
    dst.copy_from(src);
    synchronize(device);
  });
  return 2.0 * static_cast<double>(bytes) / seconds;
}

}  // namespace

Ceilings measure_ceilings(Device device) {
  if (device.is_cuda()) return {copy_bytes_per_second(device), 0};
  return {stream_bytes_per_second(), fma_flops_per_second()};
}

double cache_bytes(Device device) {
  const double gpu = 64e6, unknown = 32e6;  // the largest L2 of a GPU; a usual L3
  if (device.is_cuda()) return gpu;
#ifdef _SC_LEVEL3_CACHE_SIZE
  const long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (l3 > 0) return static_cast<double>(l3);
#endif
  return unknown;
}

}  // namespace limbeck

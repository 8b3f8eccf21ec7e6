// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/stream.h>

#include <unistd.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include <cstring>
#include <fstream>
#include <string>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/tools/bench/best_seconds.h>

namespace limbeck {
namespace {

/// As the kernel says it: inside a virtual machine the C library may name the whole host's.
double system_cache_bytes(int level) {
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) + "/size");
  double kibibytes = 0;
  return file >> kibibytes ? 1024 * kibibytes : 0;
}

void add_plain(float* c, const float* a, const float* b, std::int64_t n) {
  simd([=](auto) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) c[i] = a[i] + b[i];
  });
}

/// With stores that go past the caches, which saves reading c first; c is 64-byte aligned.
void add_past_caches(float* c, const float* a, const float* b, std::int64_t n) {
#if defined(__x86_64__)
  for (std::int64_t i = 0; i < n; i += 4)
    _mm_stream_ps(c + i, _mm_add_ps(_mm_loadu_ps(a + i), _mm_loadu_ps(b + i)));
  _mm_sfence();
#else
  add_plain(c, a, b, n);
#endif
}

void copy_past_caches(float* c, const float* a, std::int64_t n) {
#if defined(__x86_64__)
  for (std::int64_t i = 0; i < n; i += 4) _mm_stream_ps(c + i, _mm_loadu_ps(a + i));
  _mm_sfence();
#else
  std::memcpy(c, a, sizeof(float) * static_cast<std::size_t>(n));
#endif
}

/// Every thread runs body(begin, end) over its share of n floats, again and again when that is
/// short; seconds of one round.
template <class Body>
double seconds_of_shares(std::int64_t n, Body&& body) {
  const std::int64_t threads = num_threads(), share = n / threads / 16 * 16;
  const std::int64_t rounds = 1 + (std::int64_t{1} << 21) / n;
  const double seconds = best_seconds([&] {
    parallel_for(threads, [&](std::int64_t i) {
      for (std::int64_t round = 0; round < rounds; ++round) body(i * share, (i + 1) * share);
    });
  });
  return seconds / static_cast<double>(rounds) * static_cast<double>(n) /
         static_cast<double>(share * threads);
}

double cpu_stream(double working_set) {
  const auto n = static_cast<std::int64_t>(working_set / 12);
  const Tensor a = Tensor::full({n}, 1), b = Tensor::full({n}, 2);
  Tensor c = Tensor::zeros({n});
  const float *x = a.data<float>(), *y = b.data<float>();
  float* z = c.data<float>();
  double seconds = seconds_of_shares(n, [&](std::int64_t begin, std::int64_t end) {
    add_plain(z + begin, x + begin, y + begin, end - begin);
  });
  if (working_set > cache_bytes(Device::cpu(), 2))
    seconds = std::min(seconds, seconds_of_shares(n, [&](std::int64_t begin, std::int64_t end) {
                         add_past_caches(z + begin, x + begin, y + begin, end - begin);
                       }));
  return 12.0 * static_cast<double>(n) / seconds;
}

/// Seconds of one call, of so many queued one after another that a full queue hides the host.
template <class Call>
double gpu_seconds(Device device, Call&& call) {
  const double once = best_seconds([&] {
    call();
    synchronize(device);
  });
  const int calls = once < 2e-3 ? static_cast<int>(2e-3 / once) + 1 : 1;
  return best_seconds([&] {
           for (int i = 0; i < calls; ++i) call();
           synchronize(device);
         }) /
         calls;
}

double gpu_stream(Device device, double working_set) {
  const auto n = static_cast<std::int64_t>(working_set / 12);
  const Tensor a = Tensor::full({n}, 1, DType::f32, device);
  const Tensor b = Tensor::full({n}, 2, DType::f32, device);
  Tensor c = Tensor::zeros({n}, DType::f32, device);
  return 12.0 * static_cast<double>(n) / gpu_seconds(device, [&] { add(c, a, b); });
}

}  // namespace

double cache_bytes(Device device, int level) {
  if (device.is_cuda()) return level == 2 ? 64e6 : 0;
  const double known = system_cache_bytes(level);
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (known == 0)
    return static_cast<double>(sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE));
#endif
  return known;
}

double measure_stream(Device device, double working_set) {
  return device.is_cuda() ? gpu_stream(device, working_set) : cpu_stream(working_set);
}

double measure_copy(Device device) {
  const std::int64_t n = std::int64_t{1} << (device.is_cuda() ? 26 : 24);
  const Tensor src = Tensor::full({n}, 1, DType::f32, device);
  Tensor dst = Tensor::zeros({n}, DType::f32, device);
  const double bytes = 8.0 * static_cast<double>(n);
  if (device.is_cuda()) return bytes / gpu_seconds(device, [&] { dst.copy_from(src); });
  const float* x = src.data<float>();
  float* y = dst.data<float>();
  return bytes / seconds_of_shares(n, [&](std::int64_t begin, std::int64_t end) {
           copy_past_caches(y + begin, x + begin, end - begin);
         });
}

}  // namespace limbeck

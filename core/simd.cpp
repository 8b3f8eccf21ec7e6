// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/simd.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

#include <limbeck/core/error.h>

namespace limbeck {
namespace {

CpuIsa widest() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd"))
    return CpuIsa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return CpuIsa::avx2;
#endif
  return CpuIsa::portable;
}

// An unknown or unsupported name is ignored: the variable narrows, it never asks for more.
CpuIsa initial() {
  const char* env = std::getenv("LIMBECK_ISA");
  const CpuIsa best = widest();
  for (CpuIsa isa : {CpuIsa::portable, CpuIsa::avx2, CpuIsa::avx512})
    if (env != nullptr && std::string_view(env) == cpu_isa_name(isa) && isa <= best) return isa;
  return best;
}

std::atomic<CpuIsa>& current() {
  static std::atomic<CpuIsa> isa = initial();
  return isa;
}

}  // namespace

CpuIsa cpu_isa() { return current().load(std::memory_order_relaxed); }

void set_cpu_isa(CpuIsa isa) {
  LIMBECK_CHECK(isa <= widest(), "set_cpu_isa: ", cpu_isa_name(isa), "; this CPU has at most ",
                cpu_isa_name(widest()));
  current().store(isa, std::memory_order_relaxed);
}

const char* cpu_isa_name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::avx512:
      return "avx512";
    case CpuIsa::avx2:
      return "avx2";
    case CpuIsa::portable:
      break;
  }
  return "portable";
}

}  // namespace limbeck

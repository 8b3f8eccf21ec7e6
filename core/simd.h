// SPDX-License-Identifier: Apache-2.0
// One plain C++ loop, compiled for several vector widths and chosen at run time.
#pragma once

#include <type_traits>

namespace limbeck {

/// Vector instruction sets a loop may be compiled for. All of them have fused multiply-add, and the
/// build forbids contraction, so a loop written with explicit fma gives the same bits under each.
enum class CpuIsa { portable, avx2, avx512 };

/// The set in use: the widest this CPU has, unless LIMBECK_ISA=portable|avx2|avx512 or
/// set_cpu_isa narrowed it. (On arm64 `portable` is NEON.)
CpuIsa cpu_isa();
/// Throws std::invalid_argument when this CPU lacks it.
void set_cpu_isa(CpuIsa isa);
const char* cpu_isa_name(CpuIsa isa);

/// Number of float lanes as a compile-time constant; `lanes.value` in the loop body.
template <int N>
using Lanes = std::integral_constant<int, N>;

namespace detail {
#if defined(__x86_64__)
// `flatten` inlines the whole body here, where the wider target holds, so the body needs no
// attribute of its own. Bodies must not call std:: templates that cannot be inlined.
template <class Body>
[[gnu::target("arch=x86-64-v4"), gnu::flatten, gnu::noinline]] void run_avx512(Body&& body) {
  body(Lanes<16>{});
}
template <class Body>
[[gnu::target("arch=x86-64-v3"), gnu::flatten, gnu::noinline]] void run_avx2(Body&& body) {
  body(Lanes<8>{});
}
#endif
template <class Body>
[[gnu::flatten, gnu::noinline]] void run_portable(Body&& body) {
  body(Lanes<4>{});
}
}  // namespace detail

/// Runs body(Lanes<W>{}) once, compiled for the instruction set in use.
template <class Body>
void simd(Body&& body) {
#if defined(__x86_64__)
  switch (cpu_isa()) {
    case CpuIsa::avx512:
      return detail::run_avx512(body);
    case CpuIsa::avx2:
      return detail::run_avx2(body);
    case CpuIsa::portable:
      break;
  }
#endif
  detail::run_portable(body);
}

}  // namespace limbeck

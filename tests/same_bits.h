// SPDX-License-Identifier: Apache-2.0
// Runs an op under every thread count and instruction set that must not change its bits.
#pragma once

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {

/// Instruction sets this CPU has, the widest in use last.
inline std::vector<CpuIsa> cpu_isas() {
  const CpuIsa before = cpu_isa();
  std::vector<CpuIsa> isas;
  for (CpuIsa isa : {CpuIsa::portable, CpuIsa::avx2, CpuIsa::avx512}) try {
      set_cpu_isa(isa);
      isas.push_back(isa);
    } catch (const std::invalid_argument&) {
    }
  set_cpu_isa(before);
  return isas;
}

/// fn() computes afresh and returns a std::vector<Tensor>; its bytes must be the same for 1, 2 and
/// 4 threads and for every instruction set.
template <class Fn>
void expect_same_bits(Fn&& fn) {
  const CpuIsa isa_before = cpu_isa();
  const int threads_before = num_threads();
  std::vector<Tensor> first;
  for (CpuIsa isa : cpu_isas())
    for (int threads : {1, 2, 4}) {
      set_cpu_isa(isa);
      set_num_threads(threads);
      const std::vector<Tensor> result = fn();
      if (first.empty()) first = result;
      for (std::size_t i = 0; i < result.size(); ++i)
        EXPECT_TRUE(same_bytes(result[i], first[i]))
            << "result " << i << ", " << cpu_isa_name(isa) << ", " << threads << " threads";
    }
  set_cpu_isa(isa_before);
  set_num_threads(threads_before);
}

}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: rows that have nothing to do with each other, in parallel.
#pragma once

#include <cstdint>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {

/// Calls body(n) inside simd() for n in [0, N), rows of V >= 1 elements, some 32768 elements to a
/// task.
template <class Body>
void for_each_row(std::int64_t N, std::int64_t V, Body body) {
  parallel_ranges(N, 32768 / V + 1, [=](std::int64_t begin, std::int64_t end) {
    simd([=](auto) {
      for (std::int64_t n = begin; n < end; ++n) body(n);
    });
  });
}

}  // namespace limbeck::cpu

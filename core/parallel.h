// SPDX-License-Identifier: Apache-2.0
// Fixed-partition parallel loop: the caller decides the pieces, threads only decide who does which.
#pragma once

#include <cstdint>
#include <type_traits>

namespace limbeck {

/// Threads used by parallel_for, the caller included; 1 <= n <= 256. Starts at the number of CPUs
/// this process may run on (or LIMBECK_THREADS). No result depends on it.
int num_threads();
void set_num_threads(int n);

namespace detail {
void run_tasks(std::int64_t tasks, void (*fn)(void*, std::int64_t), void* context);
}

/// Calls body(i) for every i in [0, tasks), in any order, on the pool and the calling thread;
/// returns when all are done. Nested calls run serially. Bodies must write disjoint memory. When
/// bodies throw, one of the exceptions is rethrown here after the loop.
template <class Body>
void parallel_for(std::int64_t tasks, Body&& body) {
  using B = std::remove_reference_t<Body>;
  detail::run_tasks(
      tasks, [](void* context, std::int64_t i) { (*static_cast<B*>(context))(i); },
      const_cast<std::remove_const_t<B>*>(&body));
}

/// Splits [0, n) into pieces of `grain` (a multiple of which depends on the shape only) and calls
/// body(begin, end) for each.
template <class Body>
void parallel_ranges(std::int64_t n, std::int64_t grain, Body&& body) {
  if (n <= 0) return;
  parallel_for((n + grain - 1) / grain, [&](std::int64_t i) {
    const std::int64_t begin = i * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  });
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/bench_list.h>

namespace limbeck {

// bench_list.inc is written by CMake: one LIMBECK_BENCH(<op>) per benchmark.
#define LIMBECK_BENCH(op) void bench_##op(Bench&);
#include "bench_list.inc"
#undef LIMBECK_BENCH

namespace {
constexpr BenchEntry kEntries[] = {
#define LIMBECK_BENCH(op) {#op, bench_##op},
#include "bench_list.inc"
#undef LIMBECK_BENCH
};
}  // namespace

std::span<const BenchEntry> bench_list() { return kEntries; }

}  // namespace limbeck

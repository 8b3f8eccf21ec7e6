// SPDX-License-Identifier: Apache-2.0
// Times of conversions between the floating dtypes.
#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_cast(Bench& bench) {
  struct Slot {
    Tensor x;
  };
  const std::int64_t n = 1 << 20;
  const auto time = [&](DType from, DType to) {
    bench.time(
        "cast", detail::concat("n=", n, " ", from, " to ", to), {.bytes = 6.0 * n},
        [&] { return Slot{bench.random({n}, 1, from)}; }, [to](const Slot& s) { s.x.to(to); });
  };
  time(DType::f32, DType::bf16);
  time(DType::bf16, DType::f32);
  time(DType::f32, DType::f16);
  time(DType::f16, DType::f32);
}

}  // namespace limbeck

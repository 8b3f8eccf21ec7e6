// SPDX-License-Identifier: Apache-2.0
// Times of the rotary position embedding on packed projections.
#include <limbeck/kernels/rotary.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_rotary(Bench& bench) {
  struct Slot {
    Tensor y, x, table;
  };
  const std::int64_t N = 4, T = 512, H = 8, G = 2, D = 64;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Shape shape{N, T, H + 2 * G, D};
    const auto make = [&] {
      return Slot{bench.zeros(shape, dtype), bench.random(shape, 1, dtype),
                  rotary_table(T, D, {}, DType::f32, bench.device())};
    };
    const double bytes =
        static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel());
    bench.time("rotary", detail::concat("x", shape, " ", dtype), {.bytes = 2 * bytes}, make,
               [&](Slot& s) { rotary(s.y, s.x, s.table, H + G); });
  }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of the row-wise argmax and of counting equal labels.
#include <limbeck/kernels/argmax.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_argmax(Bench& bench) {
  struct Slot {
    Tensor index, x, other, count;
  };
  for (const Shape& shape : {Shape{8192, 10}, Shape{1024, 1000}}) {
    const std::int64_t N = shape[0];
    const auto make = [&] {
      return Slot{bench.zeros({N}, DType::i32), bench.random(shape), bench.random_index({N}, 10),
                  bench.zeros({1}, DType::i64)};
    };
    const double rows = static_cast<double>(N), elements = static_cast<double>(shape.numel());
    bench.time("argmax/rows", detail::concat(shape, " f32"), {.bytes = 4 * (elements + rows)}, make,
               [](Slot& s) { argmax_rows(s.index, s.x); });
    bench.time("argmax/count_equal", detail::concat("N=", N), {.bytes = 8 * rows}, make,
               [](Slot& s) { count_equal(s.count, s.index, s.other); });
  }
}

}  // namespace limbeck

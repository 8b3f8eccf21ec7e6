// SPDX-License-Identifier: Apache-2.0
// Times of the reductions.
#include <limbeck/kernels/reduce.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_reduce(Bench& bench) {
  struct Slot {
    Tensor one, flag, columns, x;
  };
  for (const Shape& shape : {Shape{128, 1200}, Shape{8192, 1200}}) {
    const auto make = [&] {
      return Slot{bench.zeros({1}), bench.zeros({1}, DType::i32), bench.zeros({shape[1]}),
                  bench.random(shape)};
    };
    const Work work{.bytes = 4 * static_cast<double>(shape.numel())};
    const std::string text = detail::concat(shape, " f32");
    bench.time("reduce/sum", text, work, make, [](Slot& s) { sum(s.one, s.x); });
    bench.time("reduce/sum_rows", text, work, make, [](Slot& s) { sum_rows(s.columns, s.x); });
    bench.time("reduce/all_finite", text, work, make, [](Slot& s) { all_finite(s.flag, s.x); });
  }
}

}  // namespace limbeck

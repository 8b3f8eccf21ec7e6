// SPDX-License-Identifier: Apache-2.0
// Times of rows made of labels.
#include <limbeck/kernels/one_hot.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_one_hot(Bench& bench) {
  struct Slot {
    Tensor y, labels;
  };
  for (const Shape& shape : {Shape{8192, 10}, Shape{4096, 1000}}) {
    const double elements = static_cast<double>(shape.numel());
    bench.time(
        "one_hot/rows", detail::concat(shape, " f32"), {.bytes = 4 * elements},
        [&] {
          return Slot{bench.zeros(shape), bench.random_index({shape[0]}, shape[1])};
        },
        [](Slot& s) { one_hot(s.y, s.labels); });
  }
}

}  // namespace limbeck

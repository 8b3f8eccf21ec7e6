// SPDX-License-Identifier: Apache-2.0
// Times of a batch's balanced labels.
#include <limbeck/kernels/balanced_labels.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_balanced_labels(Bench& bench) {
  struct Slot {
    Tensor labels, offsets, student, weak;
  };
  for (const Shape& shape : {Shape{128, 100}, Shape{1024, 1000}}) {
    const double elements = static_cast<double>(shape.numel());
    // Each model's logits must be read once; they stay in a cache for the other seventeen times.
    bench.time(
        "balanced_labels/3", detail::concat(shape, " f32"), {.bytes = 8 * elements},
        [&] {
          return Slot{bench.zeros({shape[0]}, DType::i32), bench.zeros({shape[1]}),
                      bench.random(shape, 3), bench.random(shape, 3)};
        },
        [](Slot& s) { balanced_labels(s.labels, s.offsets, s.student, s.weak); });
  }
}

}  // namespace limbeck

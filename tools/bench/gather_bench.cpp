// SPDX-License-Identifier: Apache-2.0
// Times of gathering a batch from a data set.
#include <limbeck/kernels/gather.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_gather(Bench& bench) {
  struct Slot {
    Tensor y, images, index;
  };
  const std::int64_t N = 60000;
  const Tensor data = bench.zeros({N, 28, 28, 1}, DType::u8);
  const Tensor labels = bench.random_index({N}, 10);
  for (const std::int64_t B : {128, 4096}) {
    const auto make = [&] {
      return Slot{bench.zeros({B}, DType::i32), bench.zeros({B, 28, 28, 1}),
                  bench.random_index({B}, N)};
    };
    const std::string shape = detail::concat("B=", B, " of ", N);
    const double rows = static_cast<double>(B);
    bench.time("gather/rows", shape, {.bytes = 12 * rows}, make,
               [&](Slot& s) { gather_rows(s.y, labels, s.index); });
    for (const int jitter : {0, 2})
      bench.time(detail::concat("gather/images jitter=", jitter), shape, {.bytes = 5 * 784 * rows},
                 make, [&](Slot& s) {
                   gather_images(s.images, data, s.index,
                                 {.scale = 1.0 / 255, .vary = {.max_jitter = jitter}});
                 });
  }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of a sparse teacher's making: the largest logits of a row and what the others weigh.
#include <limbeck/kernels/topk.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_topk(Bench& bench) {
  struct Slot {
    Tensor values, indices, rest_lse, logits;
  };
  struct Case {
    Shape shape;
    std::int64_t K;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [shape, K] : {Case{{8192, 10}, 3}, Case{{1024, 1000}, 16},
                                   Case{{256, 32000}, 64}, Case{{64, 128000}, 256}}) {
      const std::int64_t N = shape[0];
      const auto make = [&] {
        return Slot{bench.zeros({N, K}), bench.zeros({N, K}, DType::i32), bench.zeros({N}),
                    bench.random(shape, 4, dtype)};
      };
      // Reads the logits once; what it writes is little.
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(shape.numel()) +
          static_cast<double>(8 * N * K);
      bench.time("topk", detail::concat("N=", N, " V=", shape[1], " K=", K, " ", dtype),
                 {.bytes = bytes}, make,
                 [](Slot& s) { topk(s.values, s.indices, s.rest_lse, s.logits, 4); });
    }
}

}  // namespace limbeck

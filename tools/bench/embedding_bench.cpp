// SPDX-License-Identifier: Apache-2.0
// Times of looking up rows and of summing their gradients by id.
#include <limbeck/kernels/embedding.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_embedding(Bench& bench) {
  struct Slot {
    Tensor y, dweight, weight, dy, ids;
  };
  const std::int64_t N = 8192;
  for (const Shape& table : {Shape{100, 128}, Shape{50257, 768}}) {
    const std::int64_t V = table[0], D = table[1];
    const auto make = [&] {
      return Slot{bench.zeros({N, D}), bench.zeros(table), bench.random(table),
                  bench.random({N, D}), bench.random_index({N}, V)};
    };
    const std::string shape = detail::concat("N=", N, " V=", V, " D=", D, " f32");
    const double rows = 4.0 * static_cast<double>(N * D);
    const double weight = 4.0 * static_cast<double>(V * D);
    // Reads and writes N rows; reads N rows and writes the table.
    bench.time("embedding/forward", shape, {.bytes = 2 * rows}, make,
               [](Slot& s) { embedding_forward(s.y, s.weight, s.ids); });
    bench.time("embedding/backward", shape, {.bytes = rows + weight}, make,
               [](Slot& s) { embedding_backward(s.dweight, s.dy, s.ids); });
  }
}

}  // namespace limbeck

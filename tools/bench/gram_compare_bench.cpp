// SPDX-License-Identifier: Apache-2.0
// Times of two Gram matrices compared, with the gradient.
#include <limbeck/kernels/gram_compare.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_gram_compare(Bench& bench) {
  struct Slot {
    GramCompareOutputs out;
    Tensor student, teacher;
  };
  for (const auto& [N, degree] : {std::pair{64, 2}, {256, 2}, {1024, 1}, {1024, 2}, {1024, 4}}) {
    const Shape shape{N, N};
    const auto make = [&] {
      return Slot{{bench.zeros({1}), bench.zeros(shape), bench.zeros({1})},
                  bench.random(shape, 1),
                  bench.random(shape, 1)};
    };
    GramCompareOptions options{.coefficients = {0.4, 0.4}, .relative = true};
    options.coefficients.resize(static_cast<std::size_t>(degree) + 1, 0.1);
    // Reads both and writes the gradient.
    bench.time("gram_compare/forward_with_grad",
               detail::concat("N=", N, " degree ", degree, " f32"), {.bytes = 12.0 * N * N}, make,
               [options](Slot& s) {
                 gram_compare_forward_with_grad(s.out, s.student, s.teacher, options);
               });
  }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of the tensor sketch, forward and backward.
#include <limbeck/kernels/tensor_sketch.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_tensor_sketch(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  struct Case {
    std::int64_t N, D, K;
    int degree;
  };
  for (const auto& [N, D, K, degree] :
       {Case{1024, 512, 128, 2}, Case{1024, 4096, 256, 2}, Case{1024, 512, 256, 3}}) {
    const TensorSketchPlan plan =
        tensor_sketch_plan(D, K, {.degree = degree, .gamma = 0.01, .c = 1}, bench.device());
    const auto make = [&, N = N, D = D, K = K] {
      return Slot{bench.zeros({N, K}), bench.zeros({N, D}), bench.random({N, D}),
                  bench.random({N, K})};
    };
    const double rows = static_cast<double>(N), codes = static_cast<double>(K);
    const double wide = 4 * rows * static_cast<double>(D), narrow = 4 * rows * codes;
    // Products of codes: degree - 1 forward; backward all but the last again, and two for each.
    const double product = 2 * rows * codes * codes;
    const std::string text =
        detail::concat("N=", N, " D=", D, " K=", K, " degree=", degree, " f32");
    bench.time("tensor_sketch/forward", text,
               {.bytes = wide + narrow, .flops = (degree - 1) * product}, make,
               [&](Slot& s) { tensor_sketch_forward(s.y, s.x, plan); });
    bench.time("tensor_sketch/backward", text,
               {.bytes = 2 * wide + narrow, .flops = (3 * degree - 4) * product}, make,
               [&](Slot& s) { tensor_sketch_backward(s.dx, s.dy, s.x, plan); });
  }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of normalisation over channels: batch norm's shapes (one sample), then group norm's.
#include <limbeck/kernels/channel_norm.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_channel_norm(Bench& bench) {
  struct Slot {
    Tensor mean, variance, sum_dy, sum_dyn, y, dx, x, dy, weight, bias;
  };
  struct Case {
    Shape x;
    std::int64_t G;
  };
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Case& c : {Case{{1, 65536, 16}, 16}, Case{{1, 16384, 64}, 64},
                          Case{{1, 3136, 512}, 512}, Case{{64, 256, 64}, 8}}) {
      const std::int64_t N = c.x[0], C = c.x[2];
      const auto make = [&] {
        Slot s{bench.zeros({N, c.G}),       bench.zeros({N, c.G}),
               bench.zeros({N, C}),         bench.zeros({N, C}),
               bench.zeros(c.x, dtype),     bench.zeros(c.x, dtype),
               bench.random(c.x, 4, dtype), bench.random(c.x, 1, dtype),
               bench.random({C}, 1, dtype), bench.random({C}, 1, dtype)};
        channel_statistics(s.mean, s.variance, s.x);
        channel_norm_sums(s.sum_dy, s.sum_dyn, s.dy, s.x, s.mean, s.variance, 1e-5);
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(c.x.numel());
      const std::string text = detail::concat("x", c.x, " G=", c.G, " ", dtype);
      bench.time("channel_norm/statistics", text, {.bytes = bytes}, make,
                 [](Slot& s) { channel_statistics(s.mean, s.variance, s.x); });
      bench.time("channel_norm/forward", text, {.bytes = 2 * bytes}, make, [](Slot& s) {
        channel_norm_forward(s.y, s.x, s.mean, s.variance, s.weight, s.bias, 1e-5);
      });
      bench.time("channel_norm/sums", text, {.bytes = 2 * bytes}, make, [](Slot& s) {
        channel_norm_sums(s.sum_dy, s.sum_dyn, s.dy, s.x, s.mean, s.variance, 1e-5);
      });
      bench.time("channel_norm/backward", text, {.bytes = 3 * bytes}, make, [](Slot& s) {
        channel_norm_backward(s.dx, s.dy, s.x, s.mean, s.variance, s.weight, s.sum_dy, s.sum_dyn,
                              1e-5);
      });
    }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of normalisation over channels: batch norm's shapes (one sample), then group norm's.
#include <limbeck/kernels/channel_norm.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_channel_norm(Bench& bench) {
  struct Slot {
    ChannelNorm norm;
    Tensor sum_dy, sum_dyn, y, dx, x, dy, skip;
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
        Slot s{{.mean = bench.zeros({N, c.G}),
                .variance = bench.zeros({N, c.G}),
                .weight = bench.random({C}, 1, dtype),
                .bias = bench.random({C}, 1, dtype)},
               bench.zeros({N, C}),
               bench.zeros({N, C}),
               bench.zeros(c.x, dtype),
               bench.zeros(c.x, dtype),
               bench.random(c.x, 4, dtype),
               bench.random(c.x, 1, dtype),
               bench.random(c.x, 1, dtype)};
        channel_statistics(s.norm.mean, s.norm.variance, s.x);
        channel_norm_sums(s.sum_dy, s.sum_dyn, s.dy, s.x, s.norm);
        channel_norm_add_relu_forward(s.y, s.x, s.skip, s.norm);
        return s;
      };
      const auto make_relu = [&] {
        Slot s = make();
        s.norm.relu = true;
        return s;
      };
      const double bytes =
          static_cast<double>(dtype_size(dtype)) * static_cast<double>(c.x.numel());
      const std::string text = detail::concat("x", c.x, " G=", c.G, " ", dtype);
      const auto time = [&](const std::string& pass, double tensors, auto made, auto body) {
        bench.time("channel_norm/" + pass, text, {.bytes = tensors * bytes}, made, body);
      };
      const auto forward = [](Slot& s) { channel_norm_forward(s.y, s.x, s.norm); };
      const auto sums = [](Slot& s) { channel_norm_sums(s.sum_dy, s.sum_dyn, s.dy, s.x, s.norm); };
      const auto backward = [](Slot& s) {
        channel_norm_backward(s.dx, s.dy, s.x, s.norm, s.sum_dy, s.sum_dyn);
      };
      time("statistics", 1, make,
           [](Slot& s) { channel_statistics(s.norm.mean, s.norm.variance, s.x); });
      time("forward", 2, make, forward);
      time("forward, relu", 2, make_relu, forward);
      time("forward, add and relu", 3, make,
           [](Slot& s) { channel_norm_add_relu_forward(s.y, s.x, s.skip, s.norm); });
      time("sums", 2, make, sums);
      time("sums, relu", 2, make_relu, sums);
      time("sums, add and relu", 4, make, [](Slot& s) {
        channel_norm_add_relu_sums(s.sum_dy, s.sum_dyn, s.dy, s.dy, s.y, s.x, s.norm);
      });
      time("backward", 3, make, backward);
      time("backward, relu", 3, make_relu, backward);
    }
}

}  // namespace limbeck

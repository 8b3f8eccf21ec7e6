// SPDX-License-Identifier: Apache-2.0
// Times of attention, forward and backward, on packed projections as a transformer's layer has.
#include <limbeck/kernels/attention.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_attention(Bench& bench) {
  struct Slot {
    Tensor y, lse, dqkv, qkv, dy;
    Heads q() const { return {qkv, 0, heads()}; }
    Heads k() const { return {qkv, heads(), heads()}; }
    Heads v() const { return {qkv, 2 * heads(), heads()}; }
    std::int64_t heads() const { return y.dim(2); }
  };
  struct Case {
    std::int64_t N, T, H, D;
    bool causal;
    double dropout = 0;
  };
  for (const Case& c :
       {Case{8, 128, 4, 32, true}, Case{8, 256, 4, 32, true}, Case{8, 256, 4, 32, true, 0.1},
        Case{4, 197, 3, 64, false}, Case{1, 1024, 12, 64, true}}) {
    const AttentionOptions options{.causal = c.causal, .dropout = {.p = c.dropout}};
    const auto make = [&] {
      Slot s{bench.zeros({c.N, c.T, c.H, c.D}), bench.zeros({c.N, c.H, c.T}),
             bench.zeros({c.N, c.T, 3 * c.H, c.D}), bench.random({c.N, c.T, 3 * c.H, c.D}),
             bench.random({c.N, c.T, c.H, c.D})};
      attention_forward(s.y, s.lse, s.q(), s.k(), s.v(), {}, options);  // for the backward
      return s;
    };
    const double scores = static_cast<double>(c.N * c.H * c.T * c.T) * (c.causal ? 0.5 : 1);
    const double row_bytes = 4.0 * static_cast<double>(c.N * c.T * c.H * c.D);
    const std::string shape =
        detail::concat("N=", c.N, " T=", c.T, " H=", c.H, " D=", c.D, " causal=", c.causal ? 1 : 0,
                       c.dropout > 0 ? " dropout f32" : " f32");
    const double products = 2 * scores * static_cast<double>(c.D);
    // Reads q, k, v and writes y; reads those and dy, y and writes three gradients.
    bench.time("attention/forward", shape,
               {.bytes = 4 * row_bytes, .flops = 2 * products, .exps = scores}, make,
               [&](Slot& s) { attention_forward(s.y, s.lse, s.q(), s.k(), s.v(), {}, options); });
    bench.time("attention/backward", shape,
               {.bytes = 8 * row_bytes, .flops = 5 * products, .exps = scores}, make, [&](Slot& s) {
                 const std::int64_t H = s.heads();
                 attention_backward(Heads(s.dqkv, 0, H), Heads(s.dqkv, H, H),
                                    Heads(s.dqkv, 2 * H, H), s.dy, s.y, s.lse, s.q(), s.k(), s.v(),
                                    {}, options);
               });
  }
}

}  // namespace limbeck

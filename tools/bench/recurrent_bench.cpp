// SPDX-License-Identifier: Apache-2.0
// Times of the recurrence of one layer, without its input's product.
#include <limbeck/kernels/recurrent.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_recurrent(Bench& bench) {
  struct Slot {
    RecurrentInputs in;
    Tensor y, h_n, c_n, dy;
    RecurrentSaved saved;
    RecurrentGradients grads;
  };
  struct Case {
    const char* name;
    RecurrentCell cell;
  };
  const std::int64_t N = 64, T = 64, H = 128;
  for (const Case& c : {Case{"tanh", RecurrentCell::tanh}, Case{"lstm", RecurrentCell::lstm},
                        Case{"gru", RecurrentCell::gru}}) {
    const RecurrentOptions options{.cell = c.cell};
    const std::int64_t width = recurrent_gates(c.cell) * H;
    const auto make = [&] {
      Slot s;
      s.in.p = bench.random({N, T, width});
      s.in.w_hh = bench.random({width, H}, 0.08);  // 1/sqrt(H), as layers begin
      s.y = bench.zeros({N, T, H});
      s.h_n = bench.zeros({N, H});
      if (c.cell == RecurrentCell::lstm) s.c_n = bench.zeros({N, H});
      s.dy = bench.random({N, T, H});
      s.saved = empty_recurrent_saved(s.in.p, c.cell);
      s.grads = {bench.zeros({N, T, width}), bench.zeros({N, T, width}), bench.zeros({N, H}),
                 s.c_n.defined() ? bench.zeros({N, H}) : Tensor()};
      recurrent_forward(s.y, s.h_n, s.c_n, &s.saved, s.in, options);  // for the backward
      return s;
    };
    const double units = static_cast<double>(N * T * H);
    const double numbers = units * static_cast<double>(2 * recurrent_gates(c.cell) + 3);
    const Work work{.bytes = 4 * numbers, .flops = 2 * units * static_cast<double>(width)};
    const std::string shape = detail::concat("N=", N, " T=", T, " H=", H, " f32");
    bench.time(detail::concat("recurrent/", c.name, "_forward"), shape, work, make,
               [&](Slot& s) { recurrent_forward(s.y, s.h_n, s.c_n, &s.saved, s.in, options); });
    bench.time(detail::concat("recurrent/", c.name, "_backward"), shape, work, make, [&](Slot& s) {
      recurrent_backward(s.grads, s.dy, s.saved, s.in.w_hh, {}, options);
    });
  }
}

}  // namespace limbeck

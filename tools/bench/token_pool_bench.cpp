// SPDX-License-Identifier: Apache-2.0
// Times of pooling tokens, forward and backward.
#include <limbeck/kernels/token_pool.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_token_pool(Bench& bench) {
  struct Slot {
    Tensor y, dx, x, dy;
  };
  const std::int64_t N = 64, T = 196, D = 384;
  const auto make = [&] {
    return Slot{bench.zeros({N, D}), bench.zeros({N, T, D}), bench.random({N, T, D}),
                bench.random({N, D})};
  };
  const std::string shape = detail::concat("N=", N, " T=", T, " D=", D, " f32");
  // Reads, and backward writes, N T D elements.
  const Work work = {.bytes = 4.0 * static_cast<double>(N * T * D)};
  bench.time("token_pool/mean", shape, work, make,
             [](Slot& s) { token_pool_forward(s.y, s.x, Tensor(), TokenPool::mean); });
  bench.time("token_pool/mean_backward", shape, work, make,
             [](Slot& s) { token_pool_backward(s.dx, s.dy, Tensor(), TokenPool::mean); });
}

}  // namespace limbeck

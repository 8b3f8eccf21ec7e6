// SPDX-License-Identifier: Apache-2.0
// Times of the projection by random signs, set against the dense product's 2NKD operations.
#include <limbeck/kernels/rademacher_projection.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

void bench_projection(Bench& bench, std::int64_t N, std::int64_t D, std::int64_t K, DType dtype) {
  struct Slot {
    Tensor x, y;
  };
  const auto make = [&] {
    return Slot{bench.random({N, D}, 1, dtype), bench.random({N, K}, 1, dtype)};
  };
  const Work work{
      .bytes = static_cast<double>(dtype_size(dtype)) * static_cast<double>(N * (D + K)),
      .flops = 2 * static_cast<double>(N * D * K),
      .product = dtype};
  const std::string text = detail::concat("N=", N, " D=", D, " K=", K, " ", dtype);
  bench.time("rademacher_projection/forward", text, work, make,
             [](Slot& s) { rademacher_projection_forward(s.y, s.x, {}); });
  bench.time("rademacher_projection/backward", text, work, make,
             [](Slot& s) { rademacher_projection_backward(s.x, s.y, {}); });
}

}  // namespace

void bench_rademacher_projection(Bench& bench) {
  bench_projection(bench, 128, 800, 64, DType::f32);
  bench_projection(bench, 256, 1024, 256, DType::f32);
  bench_projection(bench, bench.device().is_cuda() ? 16384 : 512, 4096, 256, DType::f32);
  bench_projection(bench, bench.device().is_cuda() ? 16384 : 512, 4096, 256, DType::bf16);
}

}  // namespace limbeck

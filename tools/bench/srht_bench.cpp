// SPDX-License-Identifier: Apache-2.0
// Times of the subsampled randomised Hadamard transform; P log2 P additions per row.
#include <limbeck/kernels/srht.h>

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

void bench_transform(Bench& bench, std::int64_t N, std::int64_t D, std::int64_t K, DType dtype) {
  struct Slot {
    Tensor x, y;
  };
  const SrhtPlan plan = make_srht_plan(1, 0, D, K, bench.device());
  const auto make = [&] {
    return Slot{bench.random({N, D}, 1, dtype), bench.random({N, K}, 1, dtype)};
  };
  const Work work{
      .bytes = static_cast<double>(dtype_size(dtype)) * static_cast<double>(N * (D + K)),
      .flops = static_cast<double>(N * plan.P) * std::log2(static_cast<double>(plan.P))};
  const std::string text = detail::concat("N=", N, " D=", D, " K=", K, " ", dtype);
  bench.time("srht/forward", text, work, make, [&](Slot& s) { srht_forward(s.y, s.x, plan); });
  bench.time("srht/backward", text, work, make, [&](Slot& s) { srht_backward(s.x, s.y, plan); });
}

}  // namespace

void bench_srht(Bench& bench) {
  const std::int64_t N = bench.device().is_cuda() ? 16384 : 2048;
  bench_transform(bench, N, 1024, 64, DType::f32);
  bench_transform(bench, N, 4096, 256, DType::f32);
  bench_transform(bench, N, 4096, 256, DType::bf16);
  bench_transform(bench, N / 4, 16384, 1024, DType::f32);
}

}  // namespace limbeck

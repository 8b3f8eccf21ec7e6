// SPDX-License-Identifier: Apache-2.0
// Times of the dense projection, bare and with random features made of it.
#include <limbeck/kernels/dense_projection.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {
namespace {

struct Case {
  std::int64_t N, D, K;
  ProjectionEpilogue epilogue;
  const char* name;
};

void bench_projection(Bench& bench, const Case& c) {
  struct Slot {
    Tensor x, y, dx;
  };
  const DenseProjection p{bench.random({c.K, c.D}), c.epilogue};
  const std::int64_t columns = c.epilogue == ProjectionEpilogue::cos_sin ? 2 * c.K : c.K;
  const auto make = [&] {
    return Slot{bench.random({c.N, c.D}), bench.random({c.N, columns}), bench.zeros({c.N, c.D})};
  };
  const Work work{.bytes = 4 * static_cast<double>(c.N * (c.D + columns) + c.K * c.D),
                  .flops = 2 * static_cast<double>(c.N * c.D * c.K)};
  const std::string text = detail::concat("N=", c.N, " D=", c.D, " K=", c.K, " f32");
  const std::string name = detail::concat("dense_projection/", c.name);
  bench.time(name + "_forward", text, work, make,
             [&](Slot& s) { dense_projection_forward(s.y, nullptr, s.x, p); });
  bench.time(name + "_backward", text, work, make,
             [&](Slot& s) { dense_projection_backward(s.dx, s.y, s.y, p); });
}

}  // namespace

void bench_dense_projection(Bench& bench) {
  const std::int64_t N = bench.device().is_cuda() ? 16384 : 512;
  for (const auto& [epilogue, name] : {std::pair{ProjectionEpilogue::none, "none"},
                                       std::pair{ProjectionEpilogue::cos_sin, "cos_sin"}}) {
    bench_projection(bench, {N, 4096, 256, epilogue, name});
    bench_projection(bench, {N, 512, 1024, epilogue, name});
  }
}

}  // namespace limbeck

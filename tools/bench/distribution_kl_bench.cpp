// SPDX-License-Identifier: Apache-2.0
// Times of the divergence of distributions: of the receiver's two outputs from a fixed source.
#include <limbeck/kernels/distribution_kl.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_distribution_kl(Bench& bench) {
  struct Slot {
    DistributionKlOutputs out;
    Distribution p, q;
  };
  for (const DistributionKl kind : {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace,
                                    DistributionKl::gauss_laplace}) {
    const std::int64_t R = 6272, C = 512;
    const auto make = [&] {
      return Slot{{bench.zeros({R}), {}, {bench.zeros({R, C}), bench.zeros({R, C})}},
                  {bench.random({R, C}), bench.random({1})},
                  {bench.random({R, C}), bench.random({R, C})}};
    };
    // Reads three and writes two.
    const Work work{.bytes = 5 * 4 * static_cast<double>(R * C)};
    bench.time(
        "distribution_kl/forward_with_grad",
        detail::concat("R=", R, " C=", C, " f32 ", distribution_kl_name(kind)), work, make,
        [&](Slot& s) { distribution_kl_forward_with_grad(s.out, s.p, s.q, {.kind = kind}); });
  }
}

}  // namespace limbeck

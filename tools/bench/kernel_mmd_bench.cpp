// SPDX-License-Identifier: Apache-2.0
// Times of the maximum mean discrepancy of two populations.
#include <limbeck/kernels/kernel_mmd.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_kernel_mmd(Bench& bench) {
  struct Slot {
    Tensor loss, ds, s, t;
  };
  for (const auto& [B, D] : {std::pair<std::int64_t, std::int64_t>{128, 64}, {256, 512}}) {
    const auto make = [&, B = B, D = D] {
      return Slot{bench.zeros({1}), bench.zeros({B, D}), bench.random({B, D}),
                  bench.random({B, D})};
    };
    // Three squares of pairs, four operations each; two of them again for the gradient.
    const double elements = static_cast<double>(B * B * D);
    const Work work{.bytes = 3 * 4 * static_cast<double>(B * D), .flops = 5 * 4 * elements};
    bench.time("kernel_mmd/forward_with_grad", detail::concat("B=", B, " M=", B, " D=", D, " f32"),
               work, make, [](Slot& s) {
                 kernel_mmd_forward_with_grad(s.loss, s.ds, s.s, s.t,
                                              {.sigma_rbf = 10, .sigma_laplace = 100});
               });
  }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of the likelihood loss: all at once, and the loss alone.
#include <limbeck/kernels/likelihood_loss.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_likelihood_loss(Bench& bench) {
  struct Slot {
    LikelihoodOutputs out;
    Tensor mu, t;
    LikelihoodParameters parameters;
  };
  for (const Likelihood kind : {Likelihood::gauss, Likelihood::laplace, Likelihood::mixture})
    for (const Shape& shape : {Shape{8192, 64}, Shape{6272, 512}, Shape{1024, 2048}}) {
      const std::int64_t R = shape[0], C = shape[1];
      const bool gauss = kind != Likelihood::laplace, laplace = kind != Likelihood::gauss;
      const auto grad = [&](bool wanted) { return wanted ? bench.zeros({C}) : Tensor(); };
      const auto scale = [&](bool wanted) { return wanted ? bench.random({C}) : Tensor(); };
      const auto make = [&] {
        return Slot{{bench.zeros({R}),
                     bench.zeros(shape),
                     {grad(gauss)},
                     {grad(laplace)},
                     {grad(gauss && laplace)}},
                    bench.random(shape),
                    bench.random(shape),
                    {scale(gauss), scale(laplace), scale(gauss && laplace)}};
      };
      const double bytes = 4 * static_cast<double>(shape.numel());
      const std::string text = detail::concat("R=", R, " C=", C, " f32 ", likelihood_name(kind));
      bench.time(
          "likelihood_loss/forward_with_grad", text, {.bytes = 3 * bytes}, make, [&](Slot& s) {
            likelihood_loss_forward_with_grad(s.out, s.mu, s.t, s.parameters, {.kind = kind});
          });
      bench.time("likelihood_loss/forward", text, {.bytes = 2 * bytes}, make, [&](Slot& s) {
        LikelihoodOutputs loss{s.out.row_loss, {}, {}, {}, {}};
        likelihood_loss_forward_with_grad(loss, s.mu, s.t, s.parameters, {.kind = kind});
      });
    }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of teachers made of several models.
#include <limbeck/kernels/peer_target.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_peer_target(Bench& bench) {
  struct Slot {
    Tensor target, labels;
    std::vector<Tensor> peers;
  };
  struct Case {
    const char* name;
    PeerTarget kind;
  };
  for (const Shape& shape : {Shape{128, 100}, Shape{1024, 1000}})
    for (const Case& c : {Case{"peer_target/weighted", PeerTarget::weighted},
                          Case{"peer_target/mean_probabilities", PeerTarget::mean_probabilities},
                          Case{"peer_target/lowest_loss", PeerTarget::lowest_loss},
                          Case{"peer_target/best_mixture", PeerTarget::best_mixture},
                          Case{"peer_target/min_logit", PeerTarget::min_logit}}) {
      const double elements = static_cast<double>(shape.numel());
      bench.time(
          c.name, detail::concat("2 x ", shape, " f32"), {.bytes = 12 * elements},
          [&] {
            return Slot{bench.zeros(shape),
                        bench.random_index({shape[0]}, shape[1]),
                        {bench.random(shape, 3), bench.random(shape, 3)}};
          },
          [&](Slot& s) { peer_target(s.target, s.peers, s.labels, {.kind = c.kind}); });
    }
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Times of mixing a batch of images with itself.
#include <limbeck/kernels/mix_images.h>

#include <limbeck/core/error.h>
#include <limbeck/tools/bench/bench.h>

namespace limbeck {

void bench_mix_images(Bench& bench) {
  struct Slot {
    Tensor y, x, partners;
  };
  const auto make = [&](std::int64_t B, std::int64_t size) {
    return Slot{bench.zeros({B, size, size, 3}), bench.zeros({B, size, size, 3}),
                bench.random_index({B}, B)};
  };
  for (const auto& [B, size] : {std::pair<std::int64_t, std::int64_t>{128, 32}, {64, 224}}) {
    const std::string shape = detail::concat("B=", B, " ", size, "x", size, "x3");
    const double bytes = 4.0 * 3 * static_cast<double>(B * size * size);
    const auto slot = [&, B = B, size = size] { return make(B, size); };
    const ImageMixture whole = {0.3, 0, 0, size, size}, half = {0, 0, 0, size, size / 2};
    bench.time("mix_images/mixup", shape, {.bytes = 3 * bytes}, slot,
               [&](Slot& s) { mix_images(s.y, s.x, s.partners, whole); });
    bench.time("mix_images/cutmix", shape, {.bytes = 2 * bytes}, slot,
               [&](Slot& s) { mix_images(s.y, s.x, s.partners, half); });
    bench.time("mix_images/partners", shape, {.bytes = 4.0 * static_cast<double>(B)}, slot,
               [&](Slot& s) { random_partners(s.partners, {.seed = 1}); });
  }
}

}  // namespace limbeck

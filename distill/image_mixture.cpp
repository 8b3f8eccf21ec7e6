// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/image_mixture.h>

#include <algorithm>

#include <limbeck/core/error.h>
#include <limbeck/core/math.h>
#include <limbeck/kernels/gather.h>

namespace limbeck {
namespace {

// Layers of the stream: the partners' and that of everything else.
constexpr std::uint32_t kPartners = 0, kDraws = 1;

/// Numbers in (0,1), one after the other. All that is made of them is f32 arithmetic of
/// core/math.h, so that a step is the same on every machine.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint32_t step) : stream_{seed, step, kDraws, RngPurpose::mix} {}

  float uniform() { return uniform_from_word(philox_word(stream_, next_++)) + 0x1p-25f; }

  float normal() {
    const float length = math::sqrt(-2.0f * math::log(uniform()));
    return length * math::cos_2pi(uniform());
  }

  /// The logarithm of a Gamma(alpha) draw, by Marsaglia and Tsang 2000; below 1 by Gamma(alpha) =
  /// Gamma(alpha + 1) u^(1/alpha).
  float log_gamma(float alpha) {
    if (alpha < 1) {
      const float boost = math::log(uniform()) / alpha;
      return log_gamma(alpha + 1) + boost;
    }
    const float d = alpha - 1.0f / 3, c = 1 / math::sqrt(9 * d);
    for (;;) {
      const float x = normal(), root = 1 + c * x, v = root * root * root;
      const float u = uniform();
      if (v > 0 && math::log(u) < 0.5f * x * x + d * (1 - v + math::log(v)))
        return math::log(d) + math::log(v);
    }
  }

  /// Beta(alpha, alpha).
  float beta(float alpha) {
    const float a = log_gamma(alpha), b = log_gamma(alpha);
    return 1 / (1 + math::exp(b - a));
  }

  /// One of 0 .. n-1.
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(uniform() * static_cast<float>(n));
  }

 private:
  RngStream stream_;
  std::uint64_t next_ = 0;
};

}  // namespace

ImageMixture draw_mixture(const MixOptions& options, std::int64_t H, std::int64_t W,
                          std::uint64_t seed, std::uint32_t step) {
  LIMBECK_CHECK(options.mixup >= 0 && options.cutmix >= 0, "draw_mixture: mixup is ", options.mixup,
                ", cutmix ", options.cutmix, "; expected both >= 0");
  if (!options.any()) return {};
  Draws draws(seed, step);
  const bool either = draws.uniform() < 0.5f;  // drawn in any case: the rest stays the same
  const bool cuts = options.cutmix > 0 && (options.mixup == 0 || either);
  const float weight = draws.beta(static_cast<float>(cuts ? options.cutmix : options.mixup));
  if (!cuts) return {weight, 0, 0, H, W};
  const float side = math::sqrt(1 - weight);
  const auto half = [&](std::int64_t n) {
    return static_cast<std::int64_t>(side * static_cast<float>(n)) / 2;
  };
  const std::int64_t y = draws.below(H), x = draws.below(W);
  return {0, std::max<std::int64_t>(0, y - half(H)), std::max<std::int64_t>(0, x - half(W)),
          std::min(H, y + half(H)), std::min(W, x + half(W))};
}

void mix_batch(Batch& batch, const MixOptions& options, std::uint64_t seed, std::uint32_t step) {
  if (options.mixup == 0 && options.cutmix == 0) return;
  const std::int64_t H = batch.x.dim(1), W = batch.x.dim(2);
  const ImageMixture mixture = draw_mixture(options, H, W, seed, step);
  Tensor partners = Tensor::empty({batch.x.dim(0)}, DType::i32, batch.x.device());
  random_partners(partners, {seed, step, kPartners, RngPurpose::mix});
  Tensor mixed = Tensor::empty(batch.x.shape(), batch.x.dtype(), batch.x.device());
  mix_images(mixed, batch.x, partners, mixture);
  batch.x = mixed;
  batch.other_labels = Tensor::empty(batch.labels.shape(), DType::i32, batch.x.device());
  gather_rows(batch.other_labels, batch.labels, partners);
  batch.label_weight = mixture.label_weight(H, W);
}

}  // namespace limbeck

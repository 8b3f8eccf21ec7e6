// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10: the counter RNG behind every random number in limbeck.
// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <cstdint>

#include <limbeck/core/host_device.h>

namespace limbeck {

/// Four 32-bit words of one Philox block.
struct Philox4 {
  std::uint32_t x, y, z, w;
};

/// Ten rounds of Philox4x32 on `counter` under the 64-bit `key`.
LIMBECK_HD Philox4 philox4x32(Philox4 counter, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key);
  std::uint32_t k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter.x;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter.z;
    counter = {
        static_cast<std::uint32_t>(p1 >> 32) ^ counter.y ^ k0, static_cast<std::uint32_t>(p1),
        static_cast<std::uint32_t>(p0 >> 32) ^ counter.w ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

/// What a random number is for: streams of different purposes never meet.
enum class RngPurpose : std::uint32_t {
  init,
  shuffle,
  dropout,
  augment,
  data,
  rademacher,       // kernels/rademacher.h
  srht,             // kernels/srht.h
  random_features,  // kernels/dense_projection.h
  count_sketch,     // kernels/count_sketch.h
  grow,             // nn/unit_map.h, nn/grow.h
  mix,              // distill/image_mixture.h
};

/// Names one random stream; element i of it is a pure function of these fields and i.
struct RngStream {
  std::uint64_t seed = 0;
  std::uint32_t step = 0;   ///< optimiser step or epoch
  std::uint32_t layer = 0;  ///< layer, parameter or sample
  RngPurpose purpose = RngPurpose::init;
  /// Where the step is read instead, in the memory of the device that draws (core/step_number.h).
  const double* step_at = nullptr;

  /// The stream with its step known, once per thread that draws: philox_block reads `step`.
  LIMBECK_HD RngStream resolved() const {
    if (step_at == nullptr) return *this;
    return {seed, static_cast<std::uint32_t>(*step_at), layer, purpose};
  }
};

/// Words 4*block .. 4*block+3 of the stream: counter (block, step, layer, purpose), key seed.
LIMBECK_HD Philox4 philox_block(const RngStream& stream, std::uint32_t block) {
  return philox4x32({block, stream.step, stream.layer, static_cast<std::uint32_t>(stream.purpose)},
                    stream.seed);
}

/// Word `element` of the stream; element < 2^34.
LIMBECK_HD std::uint32_t philox_word(const RngStream& stream, std::uint64_t element) {
  const Philox4 b = philox_block(stream, static_cast<std::uint32_t>(element >> 2));
  switch (element & 3u) {
    case 0:
      return b.x;
    case 1:
      return b.y;
    case 2:
      return b.z;
    default:
      return b.w;
  }
}

/// A word as a float in [0, 1): the upper 24 bits times 2^-24.
LIMBECK_HD float uniform_from_word(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

}  // namespace limbeck

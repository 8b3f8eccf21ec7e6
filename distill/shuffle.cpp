// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/shuffle.h>

#include <utility>

#include <limbeck/core/philox.h>

namespace limbeck {

std::vector<std::int32_t> shuffled(std::vector<std::int32_t> samples, std::uint64_t seed,
                                   std::uint32_t epoch) {
  const RngStream stream{seed, epoch, 0, RngPurpose::shuffle};
  for (std::size_t i = samples.size(); i > 1; --i) {
    // The high half of word * i is uniform over 0..i-1 up to i / 2^32.
    const std::size_t j = static_cast<std::size_t>(
        (static_cast<std::uint64_t>(philox_word(stream, i - 1)) * i) >> 32);
    std::swap(samples[i - 1], samples[j]);
  }
  return samples;
}

}  // namespace limbeck

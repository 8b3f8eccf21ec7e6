// SPDX-License-Identifier: Apache-2.0
// The order in which an epoch visits the samples.
#pragma once

#include <cstdint>
#include <vector>

namespace limbeck {

/// `samples` in the order of epoch `epoch`: a Fisher-Yates shuffle driven by the counter RNG at
/// (seed, epoch), so any epoch's order is known without the ones before it. Fewer than 2^31.
std::vector<std::int32_t> shuffled(std::vector<std::int32_t> samples, std::uint64_t seed,
                                   std::uint32_t epoch);

}  // namespace limbeck

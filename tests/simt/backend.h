// SPDX-License-Identifier: Apache-2.0
// What tests may ask the emulated GPU about what left it.
#pragma once

#include <cstdint>

namespace limbeck::simt {

/// Digest of all bytes copied to the host since the last reset, in their order.
std::uint64_t host_digest();
void reset_host_digest();

}  // namespace limbeck::simt

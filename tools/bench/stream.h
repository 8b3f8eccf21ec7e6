// SPDX-License-Identifier: Apache-2.0
// How fast this machine moves data, by how much of it there is.
#pragma once

#include <limbeck/core/device.h>

namespace limbeck {

/// Size of the cache of this level in bytes, 0 where it is not known: on the CPU 2 is one core's
/// own and 3 is shared; on a GPU 2 is shared, and taken to be as large as any GPU's.
double cache_bytes(Device device, int level);

/// Bytes per second of c = a + b over `working_set` bytes, two thirds of them read and one third
/// written. On the CPU each thread has its share of them to itself, and what does not fit in its
/// caches is also written past them; the better of the two.
double measure_stream(Device device, double working_set);

/// Bytes per second, read and written, of a copy that does not fit in the caches.
double measure_copy(Device device);

}  // namespace limbeck

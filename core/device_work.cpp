// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/device_work.h>

#include <atomic>

#include <limbeck/core/dispatch.h>

namespace limbeck {
namespace {

std::atomic<std::uint64_t> queued{0}, waits{0};

}  // namespace

DeviceWork device_work() { return {queued + cuda_launch_count(), waits}; }

void detail::count_queued() { ++queued; }
void detail::count_wait() { ++waits; }

}  // namespace limbeck

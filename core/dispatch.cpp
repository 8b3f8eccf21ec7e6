// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/dispatch.h>

#include <atomic>

#include <limbeck/core/backend.h>

namespace limbeck {
namespace {

std::atomic<std::uint64_t> launches{0};

}  // namespace

std::uint64_t cuda_launch_count() { return launches; }

void detail::enter_cuda(Device device) { backend::select(device.index()); }
void detail::count_cuda_launch() { ++launches; }

}  // namespace limbeck

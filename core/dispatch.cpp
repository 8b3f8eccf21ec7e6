// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/dispatch.h>

#include <atomic>

#include <limbeck/core/backend.h>

namespace limbeck {
namespace {

std::atomic<std::uint64_t> dispatches{0};

}  // namespace

std::uint64_t cuda_dispatch_count() { return dispatches; }

void detail::enter_cuda(Device device) {
  ++dispatches;
  backend::select(device.index());
}

}  // namespace limbeck

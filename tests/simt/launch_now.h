// SPDX-License-Identifier: Apache-2.0
// For tests of what a kernel is refused: an error comes out when somebody waits for the kernel.
#pragma once

#include <limbeck/core/device.h>
#include <limbeck/core/gpu.h>

namespace limbeck::testing {

/// Launches and waits: what the kernel did wrong is thrown from here.
template <class... Params, class... Args>
void launch_now(const gpu::Launch& config, void (*kernel)(Params...), Args... args) {
  gpu::launch(config, kernel, args...);
  synchronize(Device::cuda());
}

}  // namespace limbeck::testing

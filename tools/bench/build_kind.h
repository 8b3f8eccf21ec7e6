// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <limbeck/core/device.h>

namespace limbeck {

/// Whether the device is a GPU emulated on the CPU.
bool is_emulated(Device device);

/// What makes this build's times mean nothing, as "debug, sanitized (address), emulated GPU"; empty
/// when nothing does.
std::string slow_build(Device device);

}  // namespace limbeck

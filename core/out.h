// SPDX-License-Identifier: Apache-2.0
// Whether a kernel overwrites its output or adds to it.
#pragma once

namespace limbeck {

/// write: out = value, whatever was there. add: out += value, as cuBLAS beta = 1.
enum class Out { write, add };

}  // namespace limbeck

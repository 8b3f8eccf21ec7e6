// SPDX-License-Identifier: Apache-2.0
// NumPy's array files (numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#pragma once

#include <string>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// The array of an .npy file of version 1, 2 or 3, on the CPU, in its own dtype: u1, i4, i8, f2, f4
/// or f8, little-endian, in C order, of at most six dimensions (kMaxDims). Throws IoError in one
/// line that names the file and what is wrong: unreadable, empty, no .npy file, another version,
/// dtype or order, a malformed header, truncated, bytes after the end.
Tensor read_npy(const std::string& path);

}  // namespace limbeck

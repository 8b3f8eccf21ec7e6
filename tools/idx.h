// SPDX-License-Identifier: Apache-2.0
// The idx file format of MNIST (yann.lecun.com/exdb/mnist): big-endian header, unsigned bytes.
#pragma once

#include <string>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Reads an image file (magic 0x00000803, plain or gzip) as (N,H,W,1) u8 on the CPU. Throws IoError
/// in one line that names the file and what is wrong: unreadable, empty, corrupt gzip, wrong magic,
/// truncated, bytes after the end.
Tensor read_idx_images(const std::string& path);

/// Reads a label file (magic 0x00000801, plain or gzip) as (N) i32 on the CPU. Throws IoError as
/// above, and when a label is not in [0, classes).
Tensor read_idx_labels(const std::string& path, int classes);

}  // namespace limbeck

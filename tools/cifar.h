// SPDX-License-Identifier: Apache-2.0
// The binary files of CIFAR-10 and CIFAR-100 (cs.toronto.edu/~kriz/cifar.html).
#pragma once

#include <string>
#include <vector>

#include <limbeck/core/tensor.h>

namespace limbeck {

/// Images with their labels, row by row.
struct LabelledImages {
  Tensor images;  ///< (N,H,W,C) u8 or f32, on the CPU
  Tensor labels;  ///< (N) i32, on the CPU
};

/// The records of `files`, one file after the other, as (N,32,32,3) u8 RGB. A record is the class
/// and three planes of 32x32 bytes: red, green, blue. For 10 classes the class is one byte; for 100
/// it is two, of which the first, one of 20 superclasses, is passed over. Throws IoError in one
/// line that names the file: unreadable, empty, not a whole number of records, a class out of
/// range.
LabelledImages read_cifar(const std::vector<std::string>& files, int classes);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Small files in CIFAR's binary form for tests.
#pragma once

#include <cstdint>
#include <string>

namespace limbeck::testing {

/// What the images of cifar_record show: every label, place and channel its own value, nearly.
inline std::uint8_t cifar_pixel(int label, int h, int w, int c) {
  return static_cast<std::uint8_t>(label * 101 + h * 37 + w * 7 + c * 83);
}

/// One record of CIFAR-10 or CIFAR-100 (`classes`); the superclass of the latter is 5.
inline std::string cifar_record(int classes, int label) {
  std::string bytes;
  if (classes == 100) bytes += '\x05';
  bytes += static_cast<char>(label);
  for (int c = 0; c < 3; ++c)
    for (int h = 0; h < 32; ++h)
      for (int w = 0; w < 32; ++w) bytes += static_cast<char>(cifar_pixel(label, h, w, c));
  return bytes;
}

}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Internal: one thread per element of NHWC images; neighbouring threads are neighbouring channels.
#pragma once

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

struct Range {
  int begin, end;
  LIMBECK_DEVICE int size() const { return end - begin; }
};

/// Position of the element a thread writes in (N,height,width,C).
struct Position {
  int row, column, channel;
  std::int64_t image;
};
LIMBECK_DEVICE Position position_of(std::int64_t i, int height, int width, int channels) {
  const std::int64_t pixel = i / channels, row = pixel / width, image = row / height;
  return {static_cast<int>(row - image * height), static_cast<int>(pixel - row * width),
          static_cast<int>(i - pixel * channels), image};
}

LIMBECK_DEVICE std::int64_t thread_index() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}

inline Launch one_thread_each(const char* name, std::int64_t elements) {
  return {name, blocks_for(elements, 256), 256};
}

}  // namespace limbeck::gpu

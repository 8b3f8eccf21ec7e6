// SPDX-License-Identifier: Apache-2.0
// Internal: one launch over many tensors, for optimisers: their pointers travel as the launch's
// parameters, some tensors at a time, so nothing is copied to the device first.
#pragma once

#include <algorithm>
#include <span>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

inline constexpr int kTensorsPerLaunch = 56;  // keeps the table below the old limit of 4 KB
inline constexpr int kThreadElements = 4;     // independent loads a thread has under way per array
inline constexpr int kTensorThreads = 256;
inline constexpr int kBlockElements = kThreadElements * kTensorThreads;

/// Entry i has the blocks first_block[i] .. first_block[i + 1] - 1.
template <class Entry>
struct TensorTable {
  Entry entry[kTensorsPerLaunch];
  unsigned first_block[kTensorsPerLaunch + 1];
};

/// False for infinities and NaN.
LIMBECK_DEVICE bool finite(float x) { return x - x == 0.0f; }

/// update(entry, i) gets each thread's first element; its others follow kTensorThreads apart.
template <class Entry, class Update>
LIMBECK_KERNEL multi_tensor_kernel(TensorTable<Entry> table, Update update) {
  int t = 0;
  while (table.first_block[t + 1] <= blockIdx.x) ++t;
  const std::int64_t block = blockIdx.x - table.first_block[t];
  update(table.entry[t], block * kBlockElements + threadIdx.x);
}

/// Runs update over all entries; Entry has a count of elements n.
template <class Entry, class Update>
void for_each_tensor(const char* name, std::span<const Entry> entries, Update update) {
  for (std::size_t i = 0; i < entries.size(); i += kTensorsPerLaunch) {
    const std::size_t count = std::min<std::size_t>(kTensorsPerLaunch, entries.size() - i);
    TensorTable<Entry> table{};
    unsigned blocks = 0;
    for (std::size_t t = 0; t < count; ++t) {
      table.entry[t] = entries[i + t];
      table.first_block[t] = blocks;
      blocks += blocks_for(entries[i + t].n, kBlockElements);
    }
    table.first_block[count] = blocks;
    if (blocks > 0)
      launch({name, blocks, kTensorThreads}, multi_tensor_kernel<Entry, Update>, table, update);
  }
}

}  // namespace limbeck::gpu

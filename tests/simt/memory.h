// SPDX-License-Identifier: Apache-2.0
// The emulated GPU's memory: exact allocations between red zones in one range of addresses. The
// first part of it, where small tensors lie, can only be touched while a DeviceMemoryAccess lives:
// host code that follows a device pointer faults here as it would with a GPU.
#pragma once

#include <cstddef>
#include <string>

namespace limbeck::simt {

/// 256-byte aligned and filled with 0xFF (NaN, -1). Throws CudaError when memory is exhausted.
void* allocate(std::size_t bytes);
/// Throws CudaError unless `p` came from allocate and was not released.
void release(void* p);
struct Allocation {
  const char* begin = nullptr;
  std::size_t bytes = 0;

  bool contains(const void* p, std::size_t n) const {
    const auto offset = static_cast<std::size_t>(static_cast<const char*>(p) - begin);
    return offset < bytes && n <= bytes - offset;
  }
};
/// The live allocation around `p`, or an empty one.
Allocation find_allocation(const void* p);
/// Names an allocation whose red zone was written to; empty when there is none.
std::string find_overrun();

/// Opens the device's memory to this process; held by launches, copies and library calls.
class DeviceMemoryAccess {
 public:
  DeviceMemoryAccess();
  ~DeviceMemoryAccess();
  DeviceMemoryAccess(const DeviceMemoryAccess&) = delete;
  DeviceMemoryAccess& operator=(const DeviceMemoryAccess&) = delete;
};

}  // namespace limbeck::simt

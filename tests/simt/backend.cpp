// SPDX-License-Identifier: Apache-2.0
// core/backend.h on the emulated GPU. Every call is done when it returns.
#include <limbeck/core/backend.h>

#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/memory.h>

namespace limbeck::backend {
namespace {

using limbeck::detail::concat;

void check_device(int device) {
  if (device != 0) throw CudaError(concat("cuda:", device, " does not exist; expected cuda:0"));
}

void check_on_device(const char* call, const void* p, std::size_t bytes) {
  if (bytes > 0 && !simt::find_allocation(p).contains(p, bytes))
    throw CudaError(
        concat(call, ": ", bytes, " bytes at ", p, " are not in one device allocation"));
}

void check_on_host(const char* call, const void* p) {
  if (simt::find_allocation(p).contains(p, 1))
    throw CudaError(concat(call, ": ", p, " is device memory; expected host memory"));
}

}  // namespace

int device_count() { return 1; }
bool reuses_memory() { return false; }
std::string device_name(int device) {
  check_device(device);
  return "emulated GPU";
}
void select(int device) { check_device(device); }

void* allocate(int device, std::size_t bytes) {
  check_device(device);
  return simt::allocate(bytes);
}
void release(int device, void* p) {
  check_device(device);
  simt::release(p);
}

void copy_to_device(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  check_on_device("copy_to_device", dst, bytes);
  check_on_host("copy_to_device", src);
  const simt::DeviceMemoryAccess access;
  std::memcpy(dst, src, bytes);
}

void copy_to_host(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  check_on_host("copy_to_host", dst);
  check_on_device("copy_to_host", src, bytes);
  const simt::DeviceMemoryAccess access;
  std::memcpy(dst, src, bytes);
}

void copy_on_device(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  check_on_device("copy_on_device", dst, bytes);
  check_on_device("copy_on_device", src, bytes);
  const simt::DeviceMemoryAccess access;
  std::memmove(dst, src, bytes);
}

void set_bytes(int device, void* dst, int value, std::size_t bytes) {
  check_device(device);
  check_on_device("set_bytes", dst, bytes);
  const simt::DeviceMemoryAccess access;
  std::memset(dst, value, bytes);
}

void synchronize(int device) { check_device(device); }

}  // namespace limbeck::backend

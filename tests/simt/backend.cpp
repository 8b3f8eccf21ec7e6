// SPDX-License-Identifier: Apache-2.0
// Memory and copies of core/backend.h on the emulated GPU; streams are in stream.cpp.
#include <limbeck/core/backend.h>

#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/backend.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/queue.h>

namespace limbeck {
namespace {

std::uint64_t digest = 0;

}  // namespace

std::uint64_t simt::host_digest() { return digest; }
void simt::reset_host_digest() { digest = 0xcbf29ce484222325u; }

namespace backend {
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

/// Queues an access to `bytes` bytes at each of `places`, which must be valid now and when it runs.
void enqueue_access(const char* call, std::vector<const void*> places, std::size_t bytes,
                    std::function<void()> access) {
  const auto check = [=, places = std::move(places)] {
    for (const void* p : places) check_on_device(call, p, bytes);
  };
  check();
  simt::enqueue([check, access = std::move(access)] {
    check();
    const simt::DeviceMemoryAccess open;
    access();
  });
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
  std::lock_guard lock(simt::queues().mutex);
  void* p = simt::allocate(bytes);
  simt::queues().home[p] = selected_stream(device);
  return p;
}

void release(int device, void* p) {
  check_device(device);
  std::lock_guard lock(simt::queues().mutex);
  const auto home = simt::queues().home.extract(p);
  if (home.empty()) throw CudaError(concat("release: ", p, " is no live device allocation"));
  simt::enqueue_cleanup(home.mapped(), [p] { simt::release(p); });
}

void copy_to_device(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  simt::check_may_wait("copy_to_device");
  check_on_device("copy_to_device", dst, bytes);
  check_on_host("copy_to_device", src);
  enqueue_access("copy_to_device", {dst}, bytes, [=] { std::memcpy(dst, src, bytes); });
  simt::drain();
}

void copy_to_host(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  simt::check_may_wait("copy_to_host");
  check_on_host("copy_to_host", dst);
  enqueue_access("copy_to_host", {src}, bytes, [=] { std::memcpy(dst, src, bytes); });
  simt::drain();
  for (std::size_t i = 0; i < bytes; ++i)  // FNV-1a
    digest = (digest ^ static_cast<const unsigned char*>(dst)[i]) * 0x100000001b3u;
}

void copy_on_device(int device, void* dst, const void* src, std::size_t bytes) {
  check_device(device);
  enqueue_access("copy_on_device", {dst, src}, bytes, [=] { std::memmove(dst, src, bytes); });
}

void fill(int device, void* dst, const void* element, std::size_t size, std::size_t count) {
  check_device(device);
  const auto* first = static_cast<const char*>(element);
  enqueue_access("fill", {dst}, size * count, [=, bytes = std::vector<char>(first, first + size)] {
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(static_cast<char*>(dst) + i * size, bytes.data(), size);
  });
}

void synchronize(int device) {
  check_device(device);
  simt::check_may_wait("synchronize");
  simt::drain_all();
}

void begin_range(const char*) noexcept {}
void end_range() noexcept {}

}  // namespace backend
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// A build without CUDA: no devices, and every request for one is a clear error.
#include <limbeck/core/backend.h>

#include <limbeck/core/error.h>

namespace limbeck::backend {
namespace {

[[noreturn]] void no_gpu() {
  throw CudaError("cuda: this limbeck was built without CUDA; use cpu");
}

}  // namespace

int device_count() { return 0; }
bool reuses_memory() { return true; }
std::string device_name(int) { no_gpu(); }
void select(int) { no_gpu(); }
void* allocate(int, std::size_t) { no_gpu(); }
void release(int, void*) { no_gpu(); }
void copy_to_device(int, void*, const void*, std::size_t) { no_gpu(); }
void copy_to_host(int, void*, const void*, std::size_t) { no_gpu(); }
void copy_on_device(int, void*, const void*, std::size_t) { no_gpu(); }
void fill(int, void*, const void*, std::size_t, std::size_t) { no_gpu(); }
void synchronize(int) { no_gpu(); }
void begin_range(const char*) noexcept {}
void end_range() noexcept {}
Stream* create_stream(int) { no_gpu(); }
void destroy_stream(int, Stream*) noexcept {}
Stream* selected_stream(int) { no_gpu(); }
void select_stream(int, Stream*) { no_gpu(); }
Event* create_event(int) { no_gpu(); }
void destroy_event(int, Event*) noexcept {}
void record_event(int, Event*) { no_gpu(); }
void wait_event(int, Event*) { no_gpu(); }
void begin_capture(int) { no_gpu(); }
Graph* end_capture(int) { no_gpu(); }
void abandon_capture(int) noexcept {}
void launch_graph(int, Graph*) { no_gpu(); }
void destroy_graph(int, Graph*) noexcept {}

}  // namespace limbeck::backend

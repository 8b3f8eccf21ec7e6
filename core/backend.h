// SPDX-License-Identifier: Apache-2.0
// The few calls core needs from a GPU runtime. Exactly one file implements them per build:
// backend.cu (CUDA), backend_none.cpp (no GPU) or the emulated one in tests/simt.
#pragma once

#include <cstddef>
#include <string>

namespace limbeck::backend {

int device_count();
/// Whether released memory may be kept and reused, in rounded sizes. Not on the emulated GPU, which
/// checks every access against the exact size and lifetime of its tensor.
bool reuses_memory();
std::string device_name(int device);
void select(int device);  ///< makes it the one this thread launches kernels on
void* allocate(int device, std::size_t bytes);  ///< device memory, 256-byte aligned
/// Gives it back after all work queued so far; the emulated GPU waits only for work on the stream
/// that was selected when it was allocated, whose order the pool's reuse follows too.
void release(int device, void* p);

// Work is queued on the device's selected stream and done in its order. Copies from and to the host
// also wait for that stream. Errors of queued work may come out of any later call that waits.
void copy_to_device(int device, void* dst, const void* src, std::size_t bytes);
void copy_to_host(int device, void* dst, const void* src, std::size_t bytes);
void copy_on_device(int device, void* dst, const void* src, std::size_t bytes);
/// `count` elements of `size` bytes (1, 2, 4 or 8), each like the one at `element` on the host,
/// which may go away at once.
void fill(int device, void* dst, const void* element, std::size_t size, std::size_t count);
void synchronize(int device);  ///< waits for all streams
// Ranges of this thread's calls for a profiler that looks on (NVTX); they nest.
void begin_range(const char* name) noexcept;
void end_range() noexcept;

// Streams, events and graphs; core/stream.h and core/graph.h own them.
struct Stream;
struct Event;
struct Graph;
Stream* create_stream(int device);
void destroy_stream(int device, Stream* stream) noexcept;  ///< after its work is done
Stream* selected_stream(int device);  ///< of this thread; null: the compute stream, as at the start
void select_stream(int device, Stream* stream);
Event* create_event(int device);
void destroy_event(int device, Event* event) noexcept;
void record_event(int device, Event* event);  ///< what the selected stream has queued so far
void wait_event(int device, Event* event);    ///< the selected stream waits for the last record
void begin_capture(int device);  ///< this thread's work is recorded from here on, not run
Graph* end_capture(int device);
void abandon_capture(int device) noexcept;
void launch_graph(int device, Graph* graph);  ///< on the selected stream
void destroy_graph(int device, Graph* graph) noexcept;

}  // namespace limbeck::backend

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
void release(int device, void* p);              ///< after queued work that uses it is done
void copy_to_device(int device, void* dst, const void* src, std::size_t bytes);
void copy_to_host(int device, void* dst, const void* src, std::size_t bytes);
void copy_on_device(int device, void* dst, const void* src, std::size_t bytes);
void set_bytes(int device, void* dst, int value, std::size_t bytes);
void synchronize(int device);

}  // namespace limbeck::backend

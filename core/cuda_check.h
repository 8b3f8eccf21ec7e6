// SPDX-License-Identifier: Apache-2.0
// Internal, CUDA builds only: turns CUDA status codes into exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include <limbeck/core/error.h>

namespace limbeck::backend {

/// The stream every kernel, copy and library call of the current device is queued on.
cudaStream_t stream();

/// Lets a kernel have so much dynamic shared memory on the current device beside its static one;
/// unasked, it gets no more than 48 KiB of both.
void allow_dynamic_shared(const void* kernel, std::size_t bytes);

[[noreturn]] void throw_cuda_error(cudaError_t status, const char* statement, const char* file,
                                   int line);

}  // namespace limbeck::backend

/// Runs a CUDA runtime call; throws CudaError with code, statement, file and line on failure.
#define LIMBECK_CUDA_CHECK(statement)                                                       \
  do {                                                                                      \
    const cudaError_t limbeck_status = (statement);                                         \
    if (limbeck_status != cudaSuccess)                                                      \
      ::limbeck::backend::throw_cuda_error(limbeck_status, #statement, __FILE__, __LINE__); \
  } while (0)

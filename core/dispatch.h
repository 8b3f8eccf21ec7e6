// SPDX-License-Identifier: Apache-2.0
// Internal: sends a checked call to the twin for a device. LIMBECK_HAS_GPU is set by the build.
#pragma once

#include <cstdint>

#include <limbeck/core/device.h>
#include <limbeck/core/error.h>
#include <limbeck/core/trace.h>

namespace limbeck {

/// Kernels launched on a GPU and calls made to its libraries so far; tests use it to prove that the
/// device was used.
std::uint64_t cuda_launch_count();

namespace detail {
void enter_cuda(Device device);  // makes the device current
void count_cuda_launch();
}  // namespace detail

}  // namespace limbeck

#if LIMBECK_HAS_GPU
#define LIMBECK_CUDA_ARM(device, call) (::limbeck::detail::enter_cuda(device), cuda::call)
#else
#define LIMBECK_CUDA_ARM(device, call) throw ::limbeck::CudaError(#call ": built without CUDA")
#endif

/// LIMBECK_DISPATCH(x.device(), relu(y, x)) calls cpu::relu(y, x) or cuda::relu(y, x), in a trace
/// scope named relu.
#define LIMBECK_DISPATCH(device, call)                                                    \
  do {                                                                                    \
    const ::limbeck::TraceScope limbeck_trace_scope(#call, ::limbeck::TraceKind::kernel); \
    if ((device).is_cuda())                                                               \
      LIMBECK_CUDA_ARM((device), call);                                                   \
    else                                                                                  \
      cpu::call;                                                                          \
  } while (0)

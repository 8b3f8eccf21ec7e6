// SPDX-License-Identifier: Apache-2.0
// The device language kernels are written in. Under nvcc every name is a thin alias of CUDA's; in
// the emulated build (LIMBECK_SIMT) tests/simt gives the same names a meaning on the host. Kernels
// use these names only: no <<<>>>, no raw __shared__, no PTX, no CUDA headers.
//
// Rules the emulation enforces, some stricter than the hardware: all threads of a block reach the
// same sync_block (none returns before it); warp functions are called by every lane in `mask`, with
// the same mask, from the same line, so a block that uses kFullMask is a multiple of kWarp wide; a
// shuffle's source lane is in the mask; shared memory is written before it is read.
#pragma once

#ifdef LIMBECK_SIMT
#include <limbeck/tests/simt/device.h>
#else

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include <limbeck/core/backend.h>
#include <limbeck/core/cuda_check.h>

#define LIMBECK_KERNEL __global__ void
#define LIMBECK_DEVICE __device__ __forceinline__
/// Before a loop over an array that should live in registers.
#define LIMBECK_UNROLL _Pragma("unroll")
/// A statically sized shared array: LIMBECK_SHARED(float, tile, [32][33]);
#define LIMBECK_SHARED(type, name, extents) __shared__ type name extents
#define LIMBECK_SHARED_ALIGNED(align, type, name, extents) \
  __shared__ __align__(align)                              \
  type name extents
/// The dynamic shared memory of the launch as a 16-byte aligned array of `type`.
#define LIMBECK_DYNAMIC_SHARED(type, name)                      \
  extern __shared__ __align__(16) unsigned char limbeck_smem[]; \
  type* name = reinterpret_cast<type*>(limbeck_smem)

namespace limbeck::gpu {

inline constexpr unsigned kFullMask = 0xffffffffu;
inline constexpr int kWarp = 32;

/// How to launch: on the current device's compute stream.
struct Launch {
  const char* name;
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared = 0;
};

/// Launches kernel(args...) and throws CudaError if the launch is refused.
template <class... Params, class... Args>
void launch(const Launch& config, void (*kernel)(Params...), Args&&... args) {
  if (config.dynamic_shared > 48 * 1024)
    LIMBECK_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(config.dynamic_shared)));
  cudaLaunchConfig_t cuda_config{};
  cuda_config.gridDim = config.grid;
  cuda_config.blockDim = config.block;
  cuda_config.dynamicSmemBytes = config.dynamic_shared;
  cuda_config.stream = backend::stream();
  const cudaError_t status =
      cudaLaunchKernelEx(&cuda_config, kernel, static_cast<Params>(std::forward<Args>(args))...);
  if (status != cudaSuccess) backend::throw_cuda_error(status, config.name, __FILE__, __LINE__);
}

LIMBECK_DEVICE void sync_block() { __syncthreads(); }
LIMBECK_DEVICE void sync_warp(unsigned mask = kFullMask) { __syncwarp(mask); }
LIMBECK_DEVICE unsigned ballot(bool predicate, unsigned mask = kFullMask) {
  return __ballot_sync(mask, predicate);
}
/// T is a 4 or 8 byte number. A shuffle_down past lane 31 leaves the value as it is.
template <class T>
LIMBECK_DEVICE T shuffle(T value, int lane, unsigned mask = kFullMask) {
  return __shfl_sync(mask, value, lane);
}
template <class T>
LIMBECK_DEVICE T shuffle_xor(T value, int lane_mask, unsigned mask = kFullMask) {
  return __shfl_xor_sync(mask, value, lane_mask);
}
template <class T>
LIMBECK_DEVICE T shuffle_down(T value, int delta, unsigned mask = kFullMask) {
  return __shfl_down_sync(mask, value, delta);
}
LIMBECK_DEVICE void thread_fence() { __threadfence(); }
LIMBECK_DEVICE unsigned atomic_add(unsigned* p, unsigned value) { return atomicAdd(p, value); }

/// 16 bytes moved by one instruction; p must be 16-byte aligned.
struct alignas(16) Pack16 {
  std::uint32_t word[4];
};
LIMBECK_DEVICE Pack16 load16(const void* p) {
  const uint4 v = *static_cast<const uint4*>(p);
  return {{v.x, v.y, v.z, v.w}};
}
LIMBECK_DEVICE void store16(void* p, const Pack16& v) {
  *static_cast<uint4*>(p) = uint4{v.word[0], v.word[1], v.word[2], v.word[3]};
}

}  // namespace limbeck::gpu

#endif  // LIMBECK_SIMT

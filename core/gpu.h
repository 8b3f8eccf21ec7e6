// SPDX-License-Identifier: Apache-2.0
// The device language kernels are written in. Under nvcc every name is a thin alias of CUDA's; in
// the emulated build (LIMBECK_SIMT) tests/simt gives the same names a meaning on the host. Kernels
// use these names only: no <<<>>>, no raw __shared__, no PTX, no CUDA headers. What only newer GPUs
// have is described in core/gpu_ptx.h: asynchronous copies, tensor cores, clusters; it compiles for
// all of them. Barriers of a whole grid are in core/gpu_grid.h.
//
// Rules the emulation enforces, some stricter than the hardware: all threads of a block reach the
// same sync_block (none returns before it); warp functions are called by every lane in `mask`, with
// the same mask, from the same line, so a block that uses kFullMask is a multiple of kWarp wide; a
// shuffle's source lane is in the mask; shared memory is written before it is read; all threads of
// a cluster or grid reach the same sync_cluster or sync_grid.
#pragma once

#include <cstddef>
#include <cstdint>

#include <limbeck/core/error.h>

namespace limbeck::gpu {

inline constexpr unsigned kFullMask = 0xffffffffu;
inline constexpr int kWarp = 32;
/// Blocks that every device which has clusters can run as one, and that some can.
inline constexpr unsigned kMaxPortableCluster = 8, kMaxCluster = 16;

/// Where threads wait for bulk copies, in shared memory. It goes through phases: one is over when
/// all arrivals have come and all bytes they said to expect have been copied.
struct alignas(8) CopyBarrier {
  std::uint64_t state;
};

/// 16 bytes moved by one instruction.
struct alignas(16) Pack16 {
  std::uint32_t word[4];
};

// What one lane holds of the matrices of `mma`, two 16-bit elements to a word, the first one in the
// lower half. With g = lane / 4 and t = lane % 4:

/// Of A, 16 x 16: pair[i] is row g + i % 2 * 8, columns 2t + i / 2 * 8 and next.
struct FragmentA {
  std::uint32_t pair[4];
};
/// Of B, 16 x 8: pair[i] is column g, rows 2t + i * 8 and next.
struct FragmentB {
  std::uint32_t pair[2];
};
/// Of C, 16 x 8: value[i] is row g + i / 2 * 8, column 2t + i % 2.
struct FragmentC {
  float value[4];
};

/// Internal: refuses a launch that has more or less than whole clusters.
inline void check_cluster(const char* kernel, unsigned cluster, unsigned grid) {
  if (cluster == 0 || cluster > kMaxCluster || grid % cluster != 0)
    throw CudaError(limbeck::detail::concat("kernel '", kernel, "': clusters of ", cluster,
                                            " blocks in a grid ", grid,
                                            " wide; expected 1 to 16, a divisor of the width"));
}

}  // namespace limbeck::gpu

#ifdef LIMBECK_SIMT
#include <limbeck/tests/simt/device.h>
#else

#include <cuda_runtime.h>

#include <utility>

#include <limbeck/core/backend.h>
#include <limbeck/core/cuda_check.h>
#include <limbeck/core/dispatch.h>

#define LIMBECK_KERNEL __global__ void
/// A kernel whose blocks have at most so many threads, of which a processor should run so many
/// blocks: that is how the registers are divided.
#define LIMBECK_KERNEL_OF(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define LIMBECK_DEVICE __device__ __forceinline__
/// Before a loop over an array that should live in registers.
#define LIMBECK_UNROLL _Pragma("unroll")
/// Before a loop of which `times` turns, a constant, become one; 1 keeps it a loop.
#define LIMBECK_UNROLL_BY(times) LIMBECK_PRAGMA(unroll times)
#define LIMBECK_PRAGMA(text) _Pragma(#text)
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

/// How to launch: on the current device's compute stream.
struct Launch {
  const char* name;
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared = 0;
  unsigned cluster = 1;      ///< blocks, next to each other along x, that form a cluster
  bool cooperative = false;  ///< all blocks run at once, so that sync_grid works
};

/// The current device's, 90 for 9.0.
inline int compute_capability() {
  int device = 0, major = 0, minor = 0;
  LIMBECK_CUDA_CHECK(cudaGetDevice(&device));
  LIMBECK_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  LIMBECK_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return 10 * major + minor;
}

/// Internal: what the code that the device would run was compiled for: 90 for 9.0.
inline int compiled_for(const void* kernel) {
  cudaFuncAttributes code{};
  LIMBECK_CUDA_CHECK(cudaFuncGetAttributes(&code, kernel));
  return code.ptxVersion;
}

/// Internal: a kernel compiled for less than 9.0 knows no clusters.
inline void check_knows_clusters(const Launch& config, const void* kernel) {
  const int version = compiled_for(kernel);
  if (version < 90)
    throw CudaError(limbeck::detail::concat(
        "kernel '", config.name, "': clusters of ", config.cluster,
        " blocks need compute capability 9.0; this kernel was compiled for ", version / 10, ".",
        version % 10));
}

/// Internal: more than 8 blocks run as a cluster only when asked for by name.
inline cudaError_t allow_cluster(const Launch& config, const void* kernel) {
  if (config.cluster <= kMaxPortableCluster) return cudaSuccess;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
}

/// Internal: a launch in CUDA's terms.
class CudaLaunch {
 public:
  /// Throws CudaError if the kernel cannot be launched so. A cluster of one block is no cluster
  /// unless `always` one.
  CudaLaunch(const Launch& config, const void* kernel, bool always = false) {
    if (config.dynamic_shared > 0) backend::allow_dynamic_shared(kernel, config.dynamic_shared);
    check_cluster(config.name, config.cluster, config.grid.x);
    if (config.cluster > 1 || always) {
      check_knows_clusters(config, kernel);
      LIMBECK_CUDA_CHECK(allow_cluster(config, kernel));
      add(cudaLaunchAttributeClusterDimension).clusterDim = {config.cluster, 1, 1};
    }
    if (config.cooperative) add(cudaLaunchAttributeCooperative).cooperative = 1;
    config_.attrs = attributes_;
    config_.gridDim = config.grid;
    config_.blockDim = config.block;
    config_.dynamicSmemBytes = config.dynamic_shared;
    config_.stream = backend::stream();
  }
  CudaLaunch(const CudaLaunch&) = delete;
  CudaLaunch& operator=(const CudaLaunch&) = delete;
  const cudaLaunchConfig_t& config() const { return config_; }

 private:
  cudaLaunchAttributeValue& add(cudaLaunchAttributeID id) {
    cudaLaunchAttribute& attribute = attributes_[config_.numAttrs++];
    attribute.id = id;
    return attribute.val;
  }

  cudaLaunchAttribute attributes_[2]{};
  cudaLaunchConfig_t config_{};
};

/// How many clusters of such a launch the current device runs at once; 0 where it, or the kernel's
/// code, has no clusters or no room for one.
template <class... Params>
unsigned max_clusters(Launch config, void (*kernel)(Params...)) {
  const void* code = reinterpret_cast<const void*>(kernel);
  if (compute_capability() < 90 || compiled_for(code) < 90) return 0;
  config.grid = config.cluster;  // does not matter
  try {
    const CudaLaunch cuda(config, code, true);
    int clusters = 0;
    LIMBECK_CUDA_CHECK(cudaOccupancyMaxActiveClusters(&clusters, kernel, &cuda.config()));
    return static_cast<unsigned>(clusters);
  } catch (const CudaError&) {
    cudaGetLastError();  // it was only a question
    return 0;
  }
}

/// Launches kernel(args...) and throws CudaError if the launch is refused. A cluster has 1 to 16
/// blocks and divides the grid's width; more than one needs sm_90, in code and device, more than 8
/// a device that has room (see max_clusters).
template <class... Params, class... Args>
void launch(const Launch& config, void (*kernel)(Params...), Args&&... args) {
  detail::count_cuda_launch();
  const CudaLaunch cuda(config, reinterpret_cast<const void*>(kernel));
  const cudaError_t status =
      cudaLaunchKernelEx(&cuda.config(), kernel, static_cast<Params>(std::forward<Args>(args))...);
  if (status != cudaSuccess) backend::throw_cuda_error(status, config.name, __FILE__, __LINE__);
}

LIMBECK_DEVICE void sync_block() { __syncthreads(); }
LIMBECK_DEVICE void sync_warp(unsigned mask = kFullMask) { __syncwarp(mask); }
LIMBECK_DEVICE unsigned ballot(bool predicate, unsigned mask = kFullMask) {
  return __ballot_sync(mask, predicate);
}
LIMBECK_DEVICE bool any(bool predicate, unsigned mask = kFullMask) {
  return __any_sync(mask, predicate);
}
LIMBECK_DEVICE bool all(bool predicate, unsigned mask = kFullMask) {
  return __all_sync(mask, predicate);
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
/// Atomics return what was there before.
LIMBECK_DEVICE unsigned atomic_add(unsigned* p, unsigned value) { return atomicAdd(p, value); }
LIMBECK_DEVICE unsigned atomic_max(unsigned* p, unsigned value) { return atomicMax(p, value); }
/// Writes `value` where `expected` is.
LIMBECK_DEVICE unsigned atomic_cas(unsigned* p, unsigned expected, unsigned value) {
  return atomicCAS(p, expected, value);
}

/// p must be 16-byte aligned.
LIMBECK_DEVICE Pack16 load16(const void* p) {
  const uint4 v = *static_cast<const uint4*>(p);
  return {{v.x, v.y, v.z, v.w}};
}
LIMBECK_DEVICE void store16(void* p, const Pack16& v) {
  *static_cast<uint4*>(p) = uint4{v.word[0], v.word[1], v.word[2], v.word[3]};
}

}  // namespace limbeck::gpu

#include <limbeck/core/gpu_ptx.h>

#endif  // LIMBECK_SIMT

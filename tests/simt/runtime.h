// SPDX-License-Identifier: Apache-2.0
// The emulated GPU as device.h sees it: launches, rendezvous of threads, shared memory, checked
// access. One fiber per CUDA thread; a fiber runs until it waits for others, so between two waits
// a thread is never interrupted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// CUDA's built-in variables, rewritten at every switch between fibers.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace limbeck::simt {

/// Where in a kernel an operation stands; errors name it. As std::source_location, which clang-tidy
/// has only from clang 16 on.
class Site {
 public:
  static constexpr Site current(const char* file = __builtin_FILE(),
                                unsigned line = __builtin_LINE()) {
    Site site;
    site.file_ = file;
    site.line_ = line;
    return site;
  }
  constexpr const char* file_name() const { return file_; }
  constexpr unsigned line() const { return line_; }

 private:
  const char* file_ = "";
  unsigned line_ = 0;
};

struct Launch {
  const char* name;
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared = 0;
  unsigned cluster = 1;
  bool cooperative = false;
};

/// A kernel with its arguments: `call(params)` is one thread's work.
struct Kernel {
  void (*call)(const void* params);
  const void* params;
  std::size_t params_bytes;
};

/// Throws CudaError when CUDA would refuse the launch.
void check(const Launch& launch);

/// Checks it and queues it on the selected stream; `params` is what kernel.params points into.
void launch(const Launch& launch, const Kernel& kernel, std::shared_ptr<const void> params);

/// Runs the whole grid now. Throws CudaError naming kernel, block, thread, file and line when a
/// thread breaks a rule of CUDA's; the other threads are then dropped where they stand.
void run(const Launch& launch, const Kernel& kernel);

/// Ends the launch with that error, seen from the running thread.
[[noreturn]] void fail(const std::string& where, const std::string& message);
[[noreturn]] void fail(const Site& site, const std::string& message);

/// Every thread of the block, the cluster or the grid must arrive here, from the same line, and
/// none may have exited. A grid can only meet in a cooperative launch.
void sync_block(const Site& site);
void sync_cluster(const Site& site);
void sync_grid(const Site& site);

/// The emulated GPU is a small one, whatever its model.
inline constexpr std::size_t kProcessors = 8, kProcessorThreads = 2048, kProcessorBlocks = 32;
int compute_capability();
/// Blocks a cooperative launch may have, in whole clusters.
unsigned max_grid(const Launch& launch);
/// Clusters said to run at once, 0 where the model has none or no room for one: few, so that blocks
/// which stay for several pieces of work do so.
unsigned max_clusters(const Launch& launch);

/// The lanes in `mask` meet; each must call with the same mask and from the same line, and none of
/// them may have exited or lie beyond the block.
void sync_warp(unsigned mask, const Site& site);
/// The lanes that say true; `name` is the vote's.
unsigned ballot(const char* name, bool predicate, unsigned mask, const Site& site);
/// Replaces the `bytes` bytes at `value` by those of lane `source`, which must be in `mask`.
void shuffle(const char* name, void* value, std::size_t bytes, int source, unsigned mask,
             const Site& site);
/// The running thread's lane in its warp.
int lane();

/// The rows of core/gpu_ptx.h's load_matrices, checked to be shared memory and aligned.
void load_matrices(std::uint32_t* pair, const void* row, bool transposed, const Site& site);
/// c += a * b with core/gpu.h's fragments, added in double and rounded once; `to_float` converts an
/// element.
void mma(float* c, const std::uint32_t* a, const std::uint32_t* b, float (*to_float)(std::uint16_t),
         const Site& site);

/// A copy whose bytes arrive at once or when the thread waits for them, as the schedule says; until
/// then the target holds 0xFF.
void copy_async(void* to, const void* from, std::size_t bytes, int valid, const Site& site);
void commit_copies();
void wait_copies(unsigned pending);

/// Bulk copies arrive at once or when a thread waits for their barrier's phase, likewise. A phase
/// whose bytes are not those its arrivals expect fails, or is waited for in vain.
void init_barrier(void* barrier, unsigned arrivals, const Site& site);
void arrive_expecting(void* barrier, unsigned bytes, const Site& site);
void copy_bulk(void* to, const void* from, std::size_t bytes, void* barrier, const Site& site);
void wait_barrier(void* barrier, unsigned parity, const Site& site);
void fence_copies();

unsigned cluster_size();
unsigned cluster_rank();
/// Fails before the first sync_cluster. A block must not end before a sync_cluster follows.
void* map_shared(const void* p, unsigned rank, const Site& site);

void thread_fence();
unsigned atomic_add(unsigned* p, unsigned value);
unsigned atomic_max(unsigned* p, unsigned value);
unsigned atomic_cas(unsigned* p, unsigned expected, unsigned value);
/// 16 bytes in one access; fails when `p` is not 16-byte aligned.
void load16(void* to, const void* p, const Site& site);
void store16(void* p, const void* from, const Site& site);

/// The block's copy of the shared variable `key`: exactly `bytes` long, no better aligned than
/// asked, filled with 0xFF (NaN, -1) when the first thread comes by and freed with the block.
void* shared_array(const void* key, const char* name, std::size_t bytes, std::size_t alignment,
                   const Site& site);
/// The launch's dynamic shared memory, likewise; 16-byte aligned.
void* dynamic_shared(const Site& site);

}  // namespace limbeck::simt

// SPDX-License-Identifier: Apache-2.0
// Internal, nvcc's side of core/gpu.h: what CUDA C++ has no plain word for. Every function compiles
// for every architecture; what it does where the instruction is missing stands beside it.
#pragma once

#include <limbeck/core/gpu.h>
#include <limbeck/core/half.h>

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define LIMBECK_HAS_BULK_COPIES 1
#else
#define LIMBECK_HAS_BULK_COPIES 0
#endif

namespace limbeck::gpu {

LIMBECK_DEVICE unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

// --- asynchronous copies (sm_80; below it they are done when copy_async returns) -----------------

/// Starts a copy of kBytes (4, 8 or 16) from global to shared memory. The first `valid` bytes are
/// read and the others become zero; with 0 `from` is not read at all. Both addresses are aligned to
/// kBytes. Until the thread has waited for the copy, nobody touches the target or writes the
/// source; after that it is the thread's own write, which others see behind a sync_block.
template <int kBytes>
LIMBECK_DEVICE void copy_async(void* to, const void* from, int valid = kBytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async copies 4, 8 or 16 bytes");
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned target = shared_address(to);
  const std::size_t source = __cvta_generic_to_global(from);
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(target), "l"(source),
                 "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(target), "l"(source),
                 "n"(kBytes), "r"(valid)
                 : "memory");
#else
  for (int i = 0; i < kBytes; ++i)
    static_cast<char*>(to)[i] = i < valid ? static_cast<const char*>(from)[i] : char{0};
#endif
}

/// Closes the group of the thread's copies since its last commit_copies; it may be empty.
LIMBECK_DEVICE void commit_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/// Waits until at most kPending of the thread's groups, the newest, are under way.
template <int kPending>
LIMBECK_DEVICE void wait_copies() {
  static_assert(kPending >= 0);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// --- bulk copies (sm_90; they trap below it: launchers ask compute_capability() first) -----------

/// By one thread, before a sync_block and the others' use; each phase takes `arrivals` arrivals.
LIMBECK_DEVICE void init_barrier([[maybe_unused]] CopyBarrier& barrier,
                                 [[maybe_unused]] unsigned arrivals) {
#if LIMBECK_HAS_BULK_COPIES
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(arrivals)
               : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");  // the copies see it too
#else
  __trap();
#endif
}

/// Arrives, and makes the phase last until `bytes` more have been copied.
LIMBECK_DEVICE void arrive_expecting([[maybe_unused]] CopyBarrier& barrier,
                                     [[maybe_unused]] unsigned bytes) {
#if LIMBECK_HAS_BULK_COPIES
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
#else
  __trap();
#endif
}

/// Starts a copy from global to shared memory, which the barrier's phase counts. Addresses and
/// `bytes` are multiples of 16. Until a thread has waited for the phase, it neither touches the
/// target nor writes the source.
LIMBECK_DEVICE void copy_bulk([[maybe_unused]] void* to, [[maybe_unused]] const void* from,
                              [[maybe_unused]] unsigned bytes,
                              [[maybe_unused]] CopyBarrier& barrier) {
#if LIMBECK_HAS_BULK_COPIES
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(&barrier))
      : "memory");
#else
  __trap();
#endif
}

/// Waits until the phase of that parity is over: 0 for the first, 1 for the second, 0 for the
/// third.
LIMBECK_DEVICE void wait_barrier([[maybe_unused]] CopyBarrier& barrier,
                                 [[maybe_unused]] unsigned parity) {
#if LIMBECK_HAS_BULK_COPIES
  unsigned over = 0;
  while (over == 0)
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(over)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
#else
  __trap();
#endif
}

/// Called by every thread that used a copy's target, before the barrier behind which the next copy
/// to it starts: copies go another way than plain accesses, and could overtake them.
LIMBECK_DEVICE void fence_copies() {
#if LIMBECK_HAS_BULK_COPIES
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// --- matrix products by a whole warp -------------------------------------------------------------

#define LIMBECK_LDMATRIX(form, f, row)                                                  \
  asm volatile("ldmatrix.sync.aligned.m8n8." form ".shared.b16 {%0, %1, %2, %3}, [%4];" \
               : "=r"(f.pair[0]), "=r"(f.pair[1]), "=r"(f.pair[2]), "=r"(f.pair[3])     \
               : "r"(shared_address(row))                                               \
               : "memory")

/// Four 8 x 8 matrices of 16-bit elements from shared memory (ldmatrix.x4). Lane l gives the
/// 16-byte aligned address of row l % 8 of matrix l / 8, and gets of each matrix i, in pair[i], row
/// l / 4, columns 2 * (l % 4) and next: an A fragment, when the matrices are its quarters in the
/// order upper left, lower left, upper right, lower right; or two of B from its transpose.
LIMBECK_DEVICE FragmentA load_matrices(const void* row) {
  FragmentA f;
  LIMBECK_LDMATRIX("x4", f, row);
  return f;
}

/// The same of the transposed matrices: lane l gets column l / 4, rows 2 * (l % 4) and next.
LIMBECK_DEVICE FragmentA load_matrices_transposed(const void* row) {
  FragmentA f;
  LIMBECK_LDMATRIX("x4.trans", f, row);
  return f;
}
#undef LIMBECK_LDMATRIX

/// C += A * B by one warp, 16 x 8 x 16, elements of A and B of type T (BFloat16 or Float16). In
/// which order and with what rounding the products are added is the device's own. Traps below
/// sm_80, which has no such instruction: launchers ask compute_capability() first.
template <class T>
LIMBECK_DEVICE void mma(FragmentC& c, const FragmentA& a, const FragmentB& b) {
  static_assert(std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>);
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define LIMBECK_MMA(type)                                                                        \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type                            \
               ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"            \
               : "+f"(c.value[0]), "+f"(c.value[1]), "+f"(c.value[2]), "+f"(c.value[3])          \
               : "r"(a.pair[0]), "r"(a.pair[1]), "r"(a.pair[2]), "r"(a.pair[3]), "r"(b.pair[0]), \
                 "r"(b.pair[1]))
  if constexpr (std::is_same_v<T, BFloat16>)
    LIMBECK_MMA("bf16");
  else
    LIMBECK_MMA("f16");
#undef LIMBECK_MMA
#else
  __trap();
#endif
}

// --- clusters (sm_90; below it every block is a cluster of its own) ------------------------------

LIMBECK_DEVICE unsigned cluster_size() {
  unsigned size = 1;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size));
#endif
  return size;
}

/// The block's number in its cluster.
LIMBECK_DEVICE unsigned cluster_rank() {
  unsigned rank = 0;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

/// All threads of the cluster meet; what any of them wrote before, all see after.
LIMBECK_DEVICE void sync_cluster() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
  __syncthreads();
#endif
}

/// Where block `rank` of the cluster has what is at `p`, in shared memory, in this block. A first
/// sync_cluster comes before (the other block may not have started), and one comes after the last
/// use of the address (the other block may be gone).
template <class T>
LIMBECK_DEVICE T* map_shared(T* p, [[maybe_unused]] unsigned rank) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  std::uint64_t mapped;
  asm("mapa.u64 %0, %1, %2;" : "=l"(mapped) : "l"(p), "r"(rank));
  return reinterpret_cast<T*>(mapped);
#else
  return p;
#endif
}

}  // namespace limbeck::gpu

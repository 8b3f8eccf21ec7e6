// SPDX-License-Identifier: Apache-2.0
// The vocabulary of core/gpu.h on the host: what a kernel says, handed to the emulated GPU.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <limbeck/core/backend.h>
#include <limbeck/core/error.h>
#include <limbeck/core/half.h>
#include <limbeck/tests/simt/runtime.h>

#define LIMBECK_KERNEL void
#define LIMBECK_KERNEL_OF(threads, blocks) void
#define LIMBECK_DEVICE [[gnu::always_inline]] inline
#define LIMBECK_UNROLL
#define LIMBECK_UNROLL_BY(times)
#define LIMBECK_SHARED(type, name, extents) \
  LIMBECK_SHARED_ALIGNED(alignof(type), type, name, extents)
#define LIMBECK_SHARED_ALIGNED(align, type, name, extents)                                      \
  static const char limbeck_key_##name = 0;                                                     \
  auto& name = *static_cast<std::type_identity_t<type extents>*>(::limbeck::simt::shared_array( \
      &limbeck_key_##name, #name, sizeof(std::type_identity_t<type extents>), align,            \
      ::limbeck::simt::Site::current()))
#define LIMBECK_DYNAMIC_SHARED(type, name) \
  type* name = static_cast<type*>(::limbeck::simt::dynamic_shared(::limbeck::simt::Site::current()))

namespace limbeck::gpu {

using simt::Launch;
using simt::Site;

using simt::compute_capability;
template <class... Params>
unsigned max_clusters(const Launch& config, void (*)(Params...)) {
  return simt::max_clusters(config);
}

template <class... Params, class... Args>
void launch(const Launch& config, void (*kernel)(Params...), Args&&... args) {
  static_assert((std::is_trivially_copyable_v<Params> && ...), "arguments are copied as bytes");
  struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> args;
  };
  const auto call = std::make_shared<const Call>(
      Call{kernel, std::tuple<Params...>{static_cast<Params>(args)...}});
  const auto thread = [](const void* p) {
    const Call& c = *static_cast<const Call*>(p);
    std::apply(c.kernel, c.args);
  };
  simt::launch(config, {thread, call.get(), sizeof *call}, call);
}

LIMBECK_DEVICE void sync_block(Site site = Site::current()) { simt::sync_block(site); }
LIMBECK_DEVICE void sync_warp(unsigned mask = kFullMask, Site site = Site::current()) {
  simt::sync_warp(mask, site);
}
LIMBECK_DEVICE unsigned ballot(bool predicate, unsigned mask = kFullMask,
                               Site site = Site::current()) {
  return simt::ballot("ballot", predicate, mask, site);
}
LIMBECK_DEVICE bool any(bool predicate, unsigned mask = kFullMask, Site site = Site::current()) {
  return simt::ballot("any", predicate, mask, site) != 0;
}
LIMBECK_DEVICE bool all(bool predicate, unsigned mask = kFullMask, Site site = Site::current()) {
  return simt::ballot("all", predicate, mask, site) == mask;
}
template <class T>
LIMBECK_DEVICE T shuffle(T value, int lane, unsigned mask = kFullMask,
                         Site site = Site::current()) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles 4 or 8 byte numbers");
  simt::shuffle("shuffle", &value, sizeof value, lane & 31, mask, site);
  return value;
}
template <class T>
LIMBECK_DEVICE T shuffle_xor(T value, int lane_mask, unsigned mask = kFullMask,
                             Site site = Site::current()) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles 4 or 8 byte numbers");
  simt::shuffle("shuffle_xor", &value, sizeof value, (simt::lane() ^ lane_mask) & 31, mask, site);
  return value;
}
/// Lanes whose source lies beyond the warp keep their own value.
template <class T>
LIMBECK_DEVICE T shuffle_down(T value, int delta, unsigned mask = kFullMask,
                              Site site = Site::current()) {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) >= 4, "CUDA shuffles 4 or 8 byte numbers");
  const int source = simt::lane() + delta < kWarp ? simt::lane() + delta : simt::lane();
  simt::shuffle("shuffle_down", &value, sizeof value, source, mask, site);
  return value;
}
LIMBECK_DEVICE void thread_fence() { simt::thread_fence(); }
LIMBECK_DEVICE unsigned atomic_add(unsigned* p, unsigned value) {
  return simt::atomic_add(p, value);
}
LIMBECK_DEVICE unsigned atomic_max(unsigned* p, unsigned value) {
  return simt::atomic_max(p, value);
}
LIMBECK_DEVICE unsigned atomic_cas(unsigned* p, unsigned expected, unsigned value) {
  return simt::atomic_cas(p, expected, value);
}

LIMBECK_DEVICE Pack16 load16(const void* p, Site site = Site::current()) {
  Pack16 v;
  simt::load16(&v, p, site);
  return v;
}
LIMBECK_DEVICE void store16(void* p, const Pack16& v, Site site = Site::current()) {
  simt::store16(p, &v, site);
}

template <int kBytes>
LIMBECK_DEVICE void copy_async(void* to, const void* from, int valid = kBytes,
                               Site site = Site::current()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async copies 4, 8 or 16 bytes");
  simt::copy_async(to, from, kBytes, valid, site);
}
LIMBECK_DEVICE void commit_copies() { simt::commit_copies(); }
template <int kPending>
LIMBECK_DEVICE void wait_copies() {
  static_assert(kPending >= 0);
  simt::wait_copies(kPending);
}

LIMBECK_DEVICE void init_barrier(CopyBarrier& barrier, unsigned arrivals,
                                 Site site = Site::current()) {
  simt::init_barrier(&barrier, arrivals, site);
}
LIMBECK_DEVICE void arrive_expecting(CopyBarrier& barrier, unsigned bytes,
                                     Site site = Site::current()) {
  simt::arrive_expecting(&barrier, bytes, site);
}
LIMBECK_DEVICE void copy_bulk(void* to, const void* from, unsigned bytes, CopyBarrier& barrier,
                              Site site = Site::current()) {
  simt::copy_bulk(to, from, bytes, &barrier, site);
}
LIMBECK_DEVICE void wait_barrier(CopyBarrier& barrier, unsigned parity,
                                 Site site = Site::current()) {
  simt::wait_barrier(&barrier, parity, site);
}
LIMBECK_DEVICE void fence_copies() { simt::fence_copies(); }

LIMBECK_DEVICE FragmentA load_matrices(const void* row, Site site = Site::current()) {
  FragmentA f;
  simt::load_matrices(f.pair, row, false, site);
  return f;
}
LIMBECK_DEVICE FragmentA load_matrices_transposed(const void* row, Site site = Site::current()) {
  FragmentA f;
  simt::load_matrices(f.pair, row, true, site);
  return f;
}
template <class T>
LIMBECK_DEVICE void mma(FragmentC& c, const FragmentA& a, const FragmentB& b,
                        Site site = Site::current()) {
  static_assert(std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>);
  const auto to_float = [](std::uint16_t bits) -> float { return std::bit_cast<T>(bits); };
  simt::mma(c.value, a.pair, b.pair, to_float, site);
}

LIMBECK_DEVICE unsigned cluster_size() { return simt::cluster_size(); }
LIMBECK_DEVICE unsigned cluster_rank() { return simt::cluster_rank(); }
LIMBECK_DEVICE void sync_cluster(Site site = Site::current()) { simt::sync_cluster(site); }
template <class T>
LIMBECK_DEVICE T* map_shared(T* p, unsigned rank, Site site = Site::current()) {
  return static_cast<T*>(simt::map_shared(p, rank, site));
}

}  // namespace limbeck::gpu

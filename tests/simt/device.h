// SPDX-License-Identifier: Apache-2.0
// The vocabulary of core/gpu.h on the host: what a kernel says, handed to the emulated GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

#include <limbeck/core/backend.h>
#include <limbeck/core/error.h>
#include <limbeck/tests/simt/runtime.h>

#define LIMBECK_KERNEL void
#define LIMBECK_DEVICE [[gnu::always_inline]] inline
#define LIMBECK_UNROLL
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

inline constexpr unsigned kFullMask = 0xffffffffu;
inline constexpr int kWarp = 32;

using simt::Launch;
using simt::Site;

template <class... Params, class... Args>
void launch(const Launch& config, void (*kernel)(Params...), Args&&... args) {
  static_assert((std::is_trivially_copyable_v<Params> && ...), "arguments are copied as bytes");
  struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> args;
  };
  const Call call{kernel, {static_cast<Params>(std::forward<Args>(args))...}};
  const auto thread = [](const void* p) {
    const Call& c = *static_cast<const Call*>(p);
    std::apply(c.kernel, c.args);
  };
  simt::run(config, {thread, &call, sizeof call});
}

LIMBECK_DEVICE void sync_block(Site site = Site::current()) { simt::sync_block(site); }
LIMBECK_DEVICE void sync_warp(unsigned mask = kFullMask, Site site = Site::current()) {
  simt::sync_warp(mask, site);
}
LIMBECK_DEVICE unsigned ballot(bool predicate, unsigned mask = kFullMask,
                               Site site = Site::current()) {
  return simt::ballot(predicate, mask, site);
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

struct alignas(16) Pack16 {
  std::uint32_t word[4];
};
LIMBECK_DEVICE Pack16 load16(const void* p, Site site = Site::current()) {
  Pack16 v;
  simt::load16(&v, p, site);
  return v;
}
LIMBECK_DEVICE void store16(void* p, const Pack16& v, Site site = Site::current()) {
  simt::store16(p, &v, site);
}

}  // namespace limbeck::gpu

// SPDX-License-Identifier: Apache-2.0
// What the emulation tells AddressSanitizer, where it is built in; nothing elsewhere.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define LIMBECK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIMBECK_ASAN 1
#endif
#endif

#ifdef LIMBECK_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace limbeck::simt::sanitizer {

#ifdef LIMBECK_ASAN
inline void start_switch(void** fake_stack, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
}
inline void finish_switch(void* fake_stack, const void** old_stack, std::size_t* old_bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, old_stack, old_bytes);
}
inline void forbid(void* p, std::size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void allow(void* p, std::size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
inline void start_switch(void**, const void*, std::size_t) {}
inline void finish_switch(void*, const void**, std::size_t*) {}
inline void forbid(void*, std::size_t) {}
inline void allow(void*, std::size_t) {}
#endif

}  // namespace limbeck::simt::sanitizer

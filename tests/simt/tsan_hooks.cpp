// SPDX-License-Identifier: Apache-2.0
// The functions g++ calls at every memory access under -fsanitize=thread. Kernels of the race build
// are compiled so and linked with these instead of libtsan.
#include <limbeck/tests/simt/observer.h>

using limbeck::simt::Access;
using limbeck::simt::observe;

#define LIMBECK_TSAN_ACCESS(bytes)                                 \
  void __tsan_read##bytes(void* p) {                               \
    observe(p, bytes, Access::read, __builtin_return_address(0));  \
  }                                                                \
  void __tsan_write##bytes(void* p) {                              \
    observe(p, bytes, Access::write, __builtin_return_address(0)); \
  }                                                                \
  void __tsan_unaligned_read##bytes(void* p) {                     \
    observe(p, bytes, Access::read, __builtin_return_address(0));  \
  }                                                                \
  void __tsan_unaligned_write##bytes(void* p) {                    \
    observe(p, bytes, Access::write, __builtin_return_address(0)); \
  }

// Host code of the instrumented files counts references with these; kernels use gpu::atomic_add.
#define LIMBECK_TSAN_ATOMIC(bits, type)                                                            \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                                   \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
  }                                                                                                \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int) {                                \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int) {                            \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  type __tsan_atomic##bits##_fetch_sub(volatile type* p, type v, int) {                            \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                             \
  }                                                                                                \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, type v, int, \
                                                    int) {                                         \
    return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }

extern "C" {  // NOLINTBEGIN(bugprone-reserved-identifier): the compiler names them so
void __tsan_init() { limbeck::simt::observer = &limbeck::simt::race_checker(); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
LIMBECK_TSAN_ACCESS(1)
LIMBECK_TSAN_ACCESS(2)
LIMBECK_TSAN_ACCESS(4)
LIMBECK_TSAN_ACCESS(8)
LIMBECK_TSAN_ACCESS(16)
void __tsan_read_range(void* p, unsigned long bytes) {
  observe(p, bytes, Access::read, __builtin_return_address(0));
}
void __tsan_write_range(void* p, unsigned long bytes) {
  observe(p, bytes, Access::write, __builtin_return_address(0));
}
LIMBECK_TSAN_ATOMIC(8, unsigned char)
LIMBECK_TSAN_ATOMIC(32, unsigned)
LIMBECK_TSAN_ATOMIC(64, unsigned long)
}  // NOLINTEND(bugprone-reserved-identifier)

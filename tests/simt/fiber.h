// SPDX-License-Identifier: Apache-2.0
// Fibers: stacks of their own on one OS thread, switched by hand (7 ns; ucontext makes two system
// calls per switch). ASan is told about every switch.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(LIMBECK_SIMT_UCONTEXT)
#define LIMBECK_SIMT_UCONTEXT 1
#endif
#ifdef LIMBECK_SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace limbeck::simt {

/// Usable bytes of a fiber's stack.
inline constexpr std::size_t kStackBytes = 64 * 1024;

class Fiber {
 public:
  /// Starts `entry` at the top of `stack` (kStackBytes) when first switched to. entry must call
  /// entered() at once and must not return.
  void prepare(char* stack, void (*entry)());
  /// Saves the running fiber in `from` and goes on where `to` stands; returns when somebody
  /// switches back.
  static void switch_to(Fiber& from, Fiber& to);
  static void entered();

  const char* stack() const { return stack_; }

 private:
  static void arrive(Fiber& fiber);

  const char* stack_ = nullptr;  // of a fiber that was never prepared: learned at its first switch
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
#ifdef LIMBECK_SIMT_UCONTEXT
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

/// `count` stacks with an unmapped page below each, so that an overflow faults at once.
class Stacks {
 public:
  explicit Stacks(std::size_t count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  char* operator[](std::size_t i) const;

 private:
  std::size_t bytes_;
  char* memory_;
};

}  // namespace limbeck::simt

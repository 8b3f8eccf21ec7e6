// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/fiber.h>

#include <sys/mman.h>

#include <new>

#include <limbeck/tests/simt/sanitizer.h>

#ifndef LIMBECK_SIMT_UCONTEXT
// limbeck_simt_switch(&saved, next): pushes what a call must preserve, swaps stacks, pops the same.
// It leaves by a jump: `ret` to another fiber's caller would miss the return predictor each time.
extern "C" void limbeck_simt_switch(void** saved, void* next);
asm(R"(
.text
.p2align 4
.globl limbeck_simt_switch
.type limbeck_simt_switch,@function
limbeck_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size limbeck_simt_switch,.-limbeck_simt_switch
)");
#endif

namespace limbeck::simt {
namespace {

constexpr std::size_t kGuardBytes = 4096;
Fiber* previous = nullptr;  // the fiber the last switch came from

}  // namespace

void Fiber::prepare(char* stack, void (*entry)()) {
  sanitizer::allow(stack, kStackBytes);  // frames dropped by a failed launch stay poisoned
  stack_ = stack;
  stack_bytes_ = kStackBytes;
  fake_stack_ = nullptr;
#ifdef LIMBECK_SIMT_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#else
  void** top = reinterpret_cast<void**>(stack + kStackBytes);
  *--top = nullptr;  // stands for entry's return address: aligns its frame and ends backtraces
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the saved registers
  stack_pointer_ = top;
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to) {
  previous = &from;
  sanitizer::start_switch(&from.fake_stack_, to.stack_, to.stack_bytes_);
#ifdef LIMBECK_SIMT_UCONTEXT
  swapcontext(&from.context_, &to.context_);
#else
  limbeck_simt_switch(&from.stack_pointer_, to.stack_pointer_);
#endif
  arrive(from);
}

void Fiber::arrive(Fiber& fiber) {
  const void* stack = previous->stack_;
  sanitizer::finish_switch(fiber.fake_stack_, &stack, &previous->stack_bytes_);
  previous->stack_ = static_cast<const char*>(stack);
}

void Fiber::entered() {
  Fiber first;  // nothing to restore on a stack's first run
  arrive(first);
}

Stacks::Stacks(std::size_t count) : bytes_(count * (kGuardBytes + kStackBytes)) {
  void* p = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(p);
  for (std::size_t i = 0; i < count; ++i)
    mprotect((*this)[i] - kGuardBytes, kGuardBytes, PROT_NONE);
}

Stacks::~Stacks() {
  sanitizer::allow(memory_, bytes_);
  munmap(memory_, bytes_);
}

char* Stacks::operator[](std::size_t i) const {
  return memory_ + i * (kGuardBytes + kStackBytes) + kGuardBytes;
}

}  // namespace limbeck::simt

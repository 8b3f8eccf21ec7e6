// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/memory.h>

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/sanitizer.h>

namespace limbeck::simt {
namespace {

constexpr std::size_t kArenaBytes = std::size_t{1} << 40;  // addresses; pages come when touched
constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr std::size_t kAlignment = 256;
constexpr std::size_t kRedZone = 256;
constexpr unsigned char kRedByte = 0xa5;
constexpr std::size_t kQuarantine = 64;  // released blocks that are not reused yet

std::size_t slot_bytes(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment + kRedZone;
}

class Arena {
 public:
  Arena() {
    void* p =
        mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw CudaError("emulated GPU: no address space for device memory");
    base_ = static_cast<char*>(p);
  }

  void* allocate(std::size_t bytes) {
    std::lock_guard lock(mutex_);
    const std::size_t slot = slot_bytes(bytes);
    char* p = take(slot);
    guard(false);
    sanitizer::allow(p, slot);
    std::memset(p, 0xff, bytes);
    std::memset(p + bytes, kRedByte, slot - bytes);
    sanitizer::forbid(p + bytes, slot - bytes);
    guard(accesses_ == 0);
    live_[p] = bytes;
    return p;
  }

  void release(void* pointer) {
    std::lock_guard lock(mutex_);
    char* p = static_cast<char*>(pointer);
    const auto found = live_.find(p);
    if (found == live_.end())
      throw CudaError(
          limbeck::detail::concat("release: ", pointer, " is no live device allocation"));
    const std::size_t slot = slot_bytes(found->second);
    guard(false);
    std::memset(p, 0xff, found->second);  // so that work that comes too late sees it
    guard(accesses_ == 0);
    live_.erase(found);
    sanitizer::forbid(p, slot);
    quarantine_.emplace_back(p, slot);
    if (quarantine_.size() <= kQuarantine) return;
    const auto [oldest, oldest_slot] = quarantine_.front();
    quarantine_.pop_front();
    free_[oldest_slot].push_back(oldest);
  }

  Allocation find_allocation(const void* pointer) {
    std::lock_guard lock(mutex_);
    auto found = live_.upper_bound(static_cast<char*>(const_cast<void*>(pointer)));
    if (found == live_.begin()) return {};
    --found;
    const Allocation allocation{found->first, found->second};
    return allocation.contains(pointer, 1) ? allocation : Allocation{};
  }

  std::string find_overrun() {
#ifndef LIMBECK_ASAN  // there every red zone is closed, and no write gets this far
    std::lock_guard lock(mutex_);
    for (const auto& [p, bytes] : live_) {
      const char* end = p + slot_bytes(bytes);
      const char* hit = std::find_if(p + bytes, const_cast<char*>(end), [](char c) {
        return static_cast<unsigned char>(c) != kRedByte;
      });
      if (hit != end)
        return limbeck::detail::concat("device memory of ", bytes, " bytes was written at byte ",
                                       hit - p);
    }
#endif
    return {};
  }

  void change_accesses(int by) {
    std::lock_guard lock(mutex_);
    const bool was_open = accesses_ > 0;
    accesses_ += by;
    if (was_open != (accesses_ > 0)) guard(was_open);
  }

 private:
  char* take(std::size_t slot) {
    if (auto& spare = free_[slot]; !spare.empty()) {
      char* p = spare.back();
      spare.pop_back();
      return p;
    }
    if (slot > kArenaBytes - used_)
      throw CudaError(limbeck::detail::concat("emulated GPU: out of memory for ", slot, " bytes"));
    used_ += slot;
    while (opened_ < used_) {
      if (!protect(base_ + opened_, kChunkBytes, true))
        throw CudaError("emulated GPU: cannot map device memory");
      sanitizer::forbid(base_ + opened_, kChunkBytes);
      opened_ += kChunkBytes;
    }
    return base_ + used_ - slot;
  }

  // Only the first chunk is guarded, where small tensors lie: a big one would cost more than the
  // launch, at up to half a microsecond per page.
  void guard(bool on) {
    if (!protect(base_, kChunkBytes, !on)) std::abort();  // destructors come here too
  }

  static bool protect(char* begin, std::size_t bytes, bool open) {
    return mprotect(begin, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE) == 0;
  }

  std::mutex mutex_;
  char* base_;
  std::size_t used_ = kRedZone;
  std::size_t opened_ = 0;  // the first bytes that were ever mapped
  int accesses_ = 0;
  std::map<char*, std::size_t> live_;
  std::map<std::size_t, std::vector<char*>> free_;  // by slot size
  std::deque<std::pair<char*, std::size_t>> quarantine_;
};

// Lives until the process ends: static tensors may be destroyed after any static arena.
Arena& arena() {
  static auto* the_arena = new Arena();
  return *the_arena;
}

}  // namespace

void* allocate(std::size_t bytes) { return arena().allocate(bytes); }
void release(void* p) { arena().release(p); }
Allocation find_allocation(const void* p) { return arena().find_allocation(p); }
std::string find_overrun() { return arena().find_overrun(); }
DeviceMemoryAccess::DeviceMemoryAccess() { arena().change_accesses(1); }
DeviceMemoryAccess::~DeviceMemoryAccess() { arena().change_accesses(-1); }

}  // namespace limbeck::simt

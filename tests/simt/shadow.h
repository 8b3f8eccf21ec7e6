// SPDX-License-Identifier: Apache-2.0
// Internal, race build: for every piece of memory a launch touched, who touched it last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace limbeck::simt {

/// One access: by which thread, and where in that thread's life. A bulk copy's is by its barrier:
/// `thread` is kBulk + the barrier's number in the block, `clock` the phase.
struct Record {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::uint16_t kBulk = 0x8000;

  std::uint32_t block = kNone;
  std::uint32_t epoch = 0;  // barriers its block had passed
  std::uint32_t clock = 0;  // sync_warps its lane had passed
  std::uint16_t thread = 0;
  bool atomic = false;
  bool copying = false;  // a copy nobody has waited for
  const void* pc = nullptr;

  bool exists() const { return block != kNone; }
  bool is_bulk() const { return thread >= kBulk; }
  bool same_thread(const Record& r) const { return block == r.block && thread == r.thread; }
};

/// The last write, and two of the reads since: of any two threads, one is not the next writer.
struct Cell {
  Record write, read, other_read;
};

/// Cells by address. A page has one cell per 4 bytes until it sees a smaller access.
class Shadow {
 public:
  /// Calls visit(cell) for the cells of [address, address + bytes).
  template <class Visit>
  void visit(std::uintptr_t address, std::size_t bytes, Visit visit) {
    for (std::uintptr_t a = address; a < address + bytes;) {
      Page& page = page_of(a);
      const bool whole = (a | (address + bytes - a)) % 4 == 0 || page.shift == 0;
      if (!whole) refine(page);
      visit(page.cells[a % kPageBytes >> page.shift]);
      a += std::size_t{1} << page.shift;
    }
  }
  void forget(std::uintptr_t address, std::size_t bytes);
  void clear();

 private:
  static constexpr std::size_t kPageBytes = 256;
  struct Page {
    int shift = 2;  // log2 of the bytes per cell
    std::vector<Cell> cells = std::vector<Cell>(kPageBytes >> 2);
  };
  Page& page_of(std::uintptr_t address);
  static void refine(Page& page);

  std::unordered_map<std::uintptr_t, Page> pages_;
  std::uintptr_t last_ = 0;
  Page* last_page_ = nullptr;
};

}  // namespace limbeck::simt

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/shadow.h>

namespace limbeck::simt {

Shadow::Page& Shadow::page_of(std::uintptr_t address) {
  const std::uintptr_t number = address / kPageBytes;
  if (last_page_ == nullptr || number != last_) {
    last_ = number;
    last_page_ = &pages_[number];
  }
  return *last_page_;
}

void Shadow::refine(Page& page) {
  std::vector<Cell> cells;
  cells.reserve(kPageBytes);
  for (const Cell& c : page.cells) cells.insert(cells.end(), 4, c);
  page.cells = std::move(cells);
  page.shift = 0;
}

void Shadow::forget(std::uintptr_t address, std::size_t bytes) {
  visit(address, bytes, [](Cell& c) { c = {}; });
}

void Shadow::clear() {
  pages_.clear();
  last_page_ = nullptr;
}

}  // namespace limbeck::simt

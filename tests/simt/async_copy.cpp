// SPDX-License-Identifier: Apache-2.0
// Copies that arrive some time between their start and the wait for them: some at once, which shows
// a missing barrier before the target is reused or the source read too early, the others at the
// wait, which shows a missing wait.
#include <cstring>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/grid.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/observer.h>

namespace limbeck::simt {
namespace {

using limbeck::detail::concat;

void check(const Copy& copy, int valid, const Site& site) {
  const char* name = "copy_async";
  if (valid < 0 || copy.valid > copy.bytes)
    fail(site, concat(name, ": ", valid, " valid bytes; expected 0 to ", copy.bytes));
  for (const void* p : {static_cast<const void*>(copy.to), copy.from})
    if (reinterpret_cast<std::uintptr_t>(p) % copy.bytes != 0)
      fail(site, concat(name, ": ", p, " is not ", copy.bytes, "-byte aligned"));
  check_shared(name, copy.to, copy.bytes, site);
  if (copy.valid > 0 && !find_allocation(copy.from).contains(copy.from, copy.valid))
    fail(site,
         concat(name, ": ", valid, " bytes at ", copy.from, " are not in one device allocation"));
}

void observe_copy(const Copy& copy, Access target) {
  if (copy.valid > 0) observe(copy.from, copy.valid, Access::read, copy.pc);
  observe(copy.to, copy.bytes, target, copy.pc);
}

void arrive(const Copy& copy) {
  std::memcpy(copy.to, copy.from, copy.valid);
  std::memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

}  // namespace

void copy_async(void* to, const void* from, std::size_t bytes, int valid, const Site& site) {
  Thread& me = self();
  Copy copy{to,
            from,
            bytes,
            static_cast<std::size_t>(valid),
            me.copy_groups,
            false,
            __builtin_return_address(0)};
  check(copy, valid, site);
  observe_copy(copy, Access::copy_start);
  copy.arrived = !grid.order->later();
  if (copy.arrived)
    arrive(copy);
  else
    std::memset(to, 0xff, bytes);
  me.copies.push_back(copy);
}

void commit_copies() { ++self().copy_groups; }

void wait_copies(unsigned pending) {
  Thread& me = self();
  std::erase_if(me.copies, [&](const Copy& copy) {
    if (copy.group + pending >= me.copy_groups) return false;
    observe_copy(copy, Access::copy_end);
    if (!copy.arrived) arrive(copy);
    return true;
  });
}

}  // namespace limbeck::simt

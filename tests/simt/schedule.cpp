// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/schedule.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

namespace limbeck::simt {
namespace {

int& current() {
  static int index = [] {
    const char* text = std::getenv("LIMBECK_SIMT_SCHEDULE");
    return text ? std::atoi(text) : 0;
  }();
  return index;
}

}  // namespace

void set_schedule(int index) { current() = index; }
int schedule() { return current(); }

Order::Order(int index, std::size_t cluster_size, std::size_t resident)
    : pick_(index < 2        ? Pick::oldest
            : index % 2 == 0 ? Pick::newest
                             : Pick::any),
      state_(0x9e3779b97f4a7c15u * (static_cast<std::uint64_t>(index) + 1)),
      fixed_flip_(index == 1 ? ~std::uint64_t{0} : 0),
      resident_(std::max(resident, index < 2 ? 1 : 1 + static_cast<std::size_t>(index) % 3)),
      ring_(std::bit_ceil(cluster_size * resident_)),
      mask_(ring_.size() - 1) {}

std::uint64_t Order::random() {  // xorshift64*
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  return (state_ * 0x2545f4914f6cdd1du) >> 16;
}

std::uint64_t Order::next_flip() { return pick_ == Pick::oldest ? fixed_flip_ : random(); }

bool Order::later() { return (pick_ == Pick::oldest ? fixed_flip_ : random()) % 2 == 0; }

Thread* Order::pop() {
  if (count_ == 0) return nullptr;
  --count_;
  if (pick_ == Pick::newest) return ring_[(head_ + count_) & mask_];
  if (pick_ == Pick::any)
    std::swap(ring_[head_ & mask_], ring_[(head_ + random() % (count_ + 1)) & mask_]);
  return ring_[head_++ & mask_];
}

}  // namespace limbeck::simt

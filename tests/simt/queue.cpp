// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/queue.h>

#include <algorithm>
#include <utility>
#include <vector>

#include <limbeck/tests/simt/schedule.h>

namespace limbeck::simt {
namespace {

using backend::Stream;

bool ready(const Stream& s) {
  return !s.items.empty() && (!s.items.front().wait || s.items.front().wait->passed);
}

Stream& needed_by(Stream& target) {
  Stream* s = &target;
  while (!ready(*s)) s = s->items.front().wait->stream;
  return *s;
}

}  // namespace

/// Schedule 0 runs the others only as far as the target waits for them, 1 runs them first, as far
/// as they get; even numbers go to another stream when one cannot go on, odd ones after every piece
/// of work.
class Queues::Pick {
 public:
  explicit Pick(Queues& queues) : queues_(queues), schedule_(schedule()) {
    std::uint64_t length = queues.compute.items.size();
    for (const Stream& s : queues.streams_) length = 31 * length + s.items.size();
    state_ = 0x9e3779b97f4a7c15u * (length + static_cast<std::uint64_t>(schedule_) + 1);
  }

  Stream& next(Stream& target) {
    if (schedule_ == 0) return needed_by(target);
    std::vector<Stream*> able;
    const auto add_if = [&](Stream& s, bool wanted) {
      if (wanted && ready(s)) able.push_back(&s);
    };
    add_if(target, true);
    add_if(queues_.compute, &queues_.compute != &target);
    for (Stream& s : queues_.streams_) add_if(s, &s != &target);
    if (schedule_ == 1) return *able.back();
    const bool goes_on =
        schedule_ % 2 == 0 && std::find(able.begin(), able.end(), last_) != able.end();
    if (!goes_on) last_ = able[random() % able.size()];
    return *last_;
  }

 private:
  std::uint64_t random() {  // xorshift64
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 16;
  }

  Queues& queues_;
  int schedule_;
  std::uint64_t state_;
  Stream* last_ = nullptr;
};

Stream* Queues::add_for_launch() { return *launches_.insert(add()).first; }

void Queues::remove(Stream* stream) {
  for (auto& [p, stream_of_p] : home)
    if (stream_of_p == stream) stream_of_p = nullptr;
  streams_.remove_if([&](const Stream& s) { return &s == stream; });
}

void Queues::drain(Stream& target) {
  Pick pick(*this);
  while (!target.items.empty()) step(pick.next(target));
  drop_finished_launches();
}

void Queues::drain_all() {
  Pick pick(*this);
  while (!compute.items.empty()) step(pick.next(compute));
  for (Stream& s : streams_)
    while (!s.items.empty()) step(pick.next(s));
  drop_finished_launches();
}

void Queues::step(Stream& stream) {
  const Item item = std::move(stream.items.front());
  stream.items.pop_front();
  try {
    if (item.work) item.work();
  } catch (...) {
    if (item.mark) item.mark->passed = true;
    drop_all();
    throw;
  }
  if (item.mark) item.mark->passed = true;
}

void Queues::drop_all() {
  const auto drop = [](Stream& s) {
    for (const Item& item : std::exchange(s.items, {})) {
      if (item.even_after_failure) item.work();
      if (item.mark) item.mark->passed = true;
    }
  };
  drop(compute);
  std::for_each(streams_.begin(), streams_.end(), drop);
  drop_finished_launches();
}

void Queues::drop_finished_launches() {
  std::erase_if(launches_, [&](Stream* s) {
    const bool finished = s->items.empty();
    if (finished) remove(s);
    return finished;
  });
}

// Lives until the process ends, as static tensors may.
Queues& queues() {
  static auto* the_queues = new Queues();
  return *the_queues;
}

}  // namespace limbeck::simt

// SPDX-License-Identifier: Apache-2.0
// Internal: the streams of the emulated GPU. Work waits in them until the host waits for it, and
// then runs in the worst order that streams and events allow, so that a missing wait shows.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include <limbeck/core/backend.h>

namespace limbeck::simt {

/// A place in a stream. In a capture (0: none) it has a number there instead of being passed, and
/// knows how much of each stream comes before it.
struct Mark {
  backend::Stream* stream = nullptr;
  bool passed = false;
  std::uint64_t capture = 0;
  std::size_t number = 0;
  std::map<backend::Stream*, std::size_t> before;
};

/// Runs when `wait` has been passed, and then passes `mark`; each of the three may be null.
struct Item {
  std::function<void()> work;
  std::shared_ptr<Mark> wait, mark;
  bool even_after_failure = false;
};

}  // namespace limbeck::simt

struct limbeck::backend::Stream {
  std::deque<limbeck::simt::Item> items;
  bool captured = false;  // by the thread that queues work here
};

namespace limbeck::simt {

/// All streams of the device. Work that throws ends the drain; what else was queued is dropped.
class Queues {
 public:
  std::recursive_mutex mutex;  // work may let go of memory; held by every user of the rest
  backend::Stream compute;
  /// By device memory: the stream that was selected when it was taken, in whose order it goes.
  std::map<void*, backend::Stream*> home;

  backend::Stream* add() { return &streams_.emplace_back(); }
  backend::Stream* add_for_launch();  ///< one that goes when its work is done
  void remove(backend::Stream* stream);

  /// Runs what `target` has queued, and of the others what it waits for or more.
  void drain(backend::Stream& target);
  void drain_all();

 private:
  class Pick;
  void step(backend::Stream& stream);
  void drop_all();
  void drop_finished_launches();

  std::list<backend::Stream> streams_;
  std::set<backend::Stream*> launches_;
};
Queues& queues();

/// Queues work on the selected stream, or records it while that is captured.
void enqueue(std::function<void()> work);
/// Runs `work` when `stream` has done what it has queued so far, also if that fails.
void enqueue_cleanup(backend::Stream* stream, std::function<void()> work);

/// The host waits for the selected stream, or for all; throws what their work threw.
void drain();
void drain_all();
/// Throws CudaError naming `call` while this thread captures a graph.
void check_may_wait(const char* call);

}  // namespace limbeck::simt

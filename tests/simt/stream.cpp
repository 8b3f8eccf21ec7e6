// SPDX-License-Identifier: Apache-2.0
// Streams, events and graphs of core/backend.h on the emulated GPU.
#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/error.h>
#include <limbeck/tests/simt/queue.h>
#include <limbeck/tests/simt/runtime.h>

namespace limbeck {
namespace {

using backend::Stream;
using limbeck::detail::concat;
using simt::Item;
using simt::Mark;

/// Work of one stream in a graph; wait and mark are numbers of marks.
struct Node {
  std::function<void()> work;
  std::optional<std::size_t> wait, mark;
};
struct Recording {
  std::vector<Node> nodes;
  std::map<Stream*, std::size_t> before;  // how much of the others its next node comes after
};

struct Capture {
  std::uint64_t id;
  Stream* origin;
  std::size_t marks = 0;
  std::map<Stream*, Recording> recordings;
};

thread_local Stream* selected = nullptr;
thread_local std::optional<Capture> capture;
std::exception_ptr pending;  // from where nothing may be thrown; comes out of the next wait

Stream& current() { return selected ? *selected : simt::queues().compute; }

void push(Stream& stream, Item item) {
  if (!stream.captured) {
    stream.items.push_back(std::move(item));
    return;
  }
  Node node{std::move(item.work), {}, {}};
  if (item.wait) node.wait = item.wait->number;
  if (item.mark) node.mark = item.mark->number;
  capture->recordings[&stream].nodes.push_back(std::move(node));
}

void rethrow_pending() {
  if (pending) std::rethrow_exception(std::exchange(pending, nullptr));
}

void drain_quietly() noexcept {
  std::lock_guard lock(simt::queues().mutex);
  try {
    simt::queues().drain_all();
  } catch (...) {
    pending = std::current_exception();
  }
}

std::shared_ptr<Mark> mark_in(Stream& stream) {
  auto mark = std::make_shared<Mark>();
  mark->stream = &stream;
  return mark;
}

/// All marks of a graph, new for one launch.
struct Launched {
  std::vector<std::shared_ptr<Mark>> marks;

  void queue(const Recording& recording, Stream* stream) {
    for (const Node& node : recording.nodes) {
      Item item{node.work, {}, {}};
      if (node.wait) item.wait = marks[*node.wait];
      if (node.mark) {
        item.mark = marks[*node.mark];
        item.mark->stream = stream;
      }
      stream->items.push_back(std::move(item));
    }
  }
};

}  // namespace

void simt::enqueue(std::function<void()> work) {
  std::lock_guard lock(queues().mutex);
  push(current(), {std::move(work), {}, {}});
}

void simt::enqueue_cleanup(Stream* stream, std::function<void()> work) {
  std::lock_guard lock(queues().mutex);
  (stream ? *stream : queues().compute).items.push_back({std::move(work), {}, {}, true});
}

void simt::check_may_wait(const char* call) {
  if (capture)
    throw CudaError(concat(call,
                           ": waits for the device while a graph is captured; expected only "
                           "work that is queued"));
}

void simt::drain() {
  std::lock_guard lock(queues().mutex);
  rethrow_pending();
  queues().drain(current());
}

void simt::drain_all() {
  std::lock_guard lock(queues().mutex);
  rethrow_pending();
  queues().drain_all();
}

void simt::launch(const Launch& launch, const Kernel& kernel, std::shared_ptr<const void> params) {
  check(launch);
  detail::count_cuda_launch();
  enqueue([launch, kernel, params = std::move(params)] { run(launch, kernel); });
}

namespace backend {

struct Event {
  std::shared_ptr<Mark> mark;  // of the last record
};

struct Graph {
  std::size_t marks;
  std::map<Stream*, Recording> recordings;
  std::vector<std::shared_ptr<Mark>> last;  // ends of the last launch: launches do not overlap
};

Stream* create_stream(int device) {
  select(device);
  std::lock_guard lock(simt::queues().mutex);
  return simt::queues().add();
}

void destroy_stream(int, Stream* stream) noexcept {
  drain_quietly();
  std::lock_guard lock(simt::queues().mutex);
  simt::queues().remove(stream);
}

Stream* selected_stream(int device) {
  select(device);
  return selected;
}

void select_stream(int device, Stream* stream) {
  select(device);
  selected = stream;
}

Event* create_event(int device) {
  select(device);
  return new Event();
}

void destroy_event(int, Event* event) noexcept { delete event; }

void record_event(int device, Event* event) {
  select(device);
  std::lock_guard lock(simt::queues().mutex);
  Stream& s = current();
  event->mark = mark_in(s);
  if (s.captured) {
    const Recording& r = capture->recordings[&s];
    event->mark->capture = capture->id;
    event->mark->number = capture->marks++;
    event->mark->before = r.before;
    event->mark->before[&s] = r.nodes.size() + 1;
  }
  push(s, {{}, {}, event->mark});
}

void wait_event(int device, Event* event) {
  select(device);
  std::lock_guard lock(simt::queues().mutex);
  Stream& s = current();
  const auto& mark = event->mark;
  if (mark == nullptr) return;
  if (mark->capture == 0 && s.captured)
    throw CudaError("wait_event: a captured stream waits for an event that was recorded outside");
  if (mark->capture != 0) {
    if (!capture || capture->id != mark->capture)
      throw CudaError("wait_event: the event was recorded in a capture that is over");
    s.captured = true;
    for (const auto& [stream, count] : mark->before) {
      std::size_t& known = capture->recordings[&s].before[stream];
      known = std::max(known, count);
    }
  }
  push(s, {{}, mark, {}});
}

void begin_capture(int device) {
  select(device);
  static std::atomic<std::uint64_t> captures{0};
  simt::check_may_wait("begin_capture");
  capture.emplace(Capture{++captures, &current(), 0, {}});
  current().captured = true;
}

Graph* end_capture(int device) {
  select(device);
  if (!capture || &current() != capture->origin)
    throw CudaError("end_capture: not on the stream on which the capture began");
  const Recording& origin = capture->recordings[capture->origin];
  for (const auto& [stream, recording] : capture->recordings) {
    const auto known = origin.before.find(stream);
    if (stream != capture->origin && !recording.nodes.empty() &&
        (known == origin.before.end() || known->second < recording.nodes.size()))
      throw CudaError("end_capture: the first stream does not wait for all work of another one");
  }
  auto graph = std::make_unique<Graph>(Graph{capture->marks, capture->recordings, {}});
  abandon_capture(device);
  return graph.release();
}

void abandon_capture(int) noexcept {
  if (!capture) return;
  for (const auto& [stream, recording] : capture->recordings) stream->captured = false;
  capture->origin->captured = false;
  capture.reset();
}

void launch_graph(int device, Graph* graph) {
  select(device);
  std::lock_guard lock(simt::queues().mutex);
  Stream& s = current();
  if (s.captured) throw CudaError("launch_graph: the stream is being captured");
  Launched launched;
  for (std::size_t i = 0; i < graph->marks; ++i) launched.marks.push_back(std::make_shared<Mark>());
  for (auto& end : std::exchange(graph->last, {})) push(s, {{}, std::move(end), {}});
  const auto start = mark_in(s);
  push(s, {{}, {}, start});
  for (const auto& [stream, recording] : graph->recordings) {
    Stream* own = simt::queues().add_for_launch();
    own->items.push_back({{}, start, {}});
    launched.queue(recording, own);
    graph->last.push_back(mark_in(*own));
    own->items.push_back({{}, {}, graph->last.back()});
  }
  for (const auto& end : graph->last) push(s, {{}, end, {}});
}

void destroy_graph(int, Graph* graph) noexcept {
  drain_quietly();
  delete graph;
}

}  // namespace backend
}  // namespace limbeck

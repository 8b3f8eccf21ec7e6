// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/trace.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include <limbeck/core/backend.h>
#include <limbeck/core/dispatch.h>
#include <limbeck/core/pool.h>

namespace limbeck {
namespace {

using Clock = std::chrono::steady_clock;

/// What the living tracer has seen. Its number is never given twice, so a scope that outlives its
/// tracer writes nowhere.
struct Record {
  std::mutex mutex;
  std::uint64_t tracer = 0;  // 0: none
  std::uint64_t last_tracer = 0;
  Device device;
  bool wait = false;
  Clock::time_point start;
  std::vector<TraceEvent> events;
  int threads = 0;

  double now() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
};

Record& record() {
  static auto* const the_record = new Record();  // scopes may end after static destructors
  return *the_record;
}

/// Where a thread stands in a tracer's record.
struct Thread {
  std::uint64_t tracer = 0;
  int number = 0;
  std::size_t open = TraceEvent::kNoParent;  // its innermost range
};

thread_local Thread this_thread;

/// This thread as the living tracer knows it. The record is locked.
Thread& enter(Record& r) {
  if (this_thread.tracer != r.tracer) this_thread = {r.tracer, r.threads++};
  return this_thread;
}

std::string place_in(const std::string& around, const std::string& name, TraceKind kind) {
  if (kind != TraceKind::model && kind != TraceKind::node && kind != TraceKind::loss) return around;
  return around.empty() ? name : around + "/" + name;
}

std::string name_of(std::string text, TraceKind kind) {
  if (kind == TraceKind::kernel) text.resize(std::min(text.size(), text.find('(')));
  return text;
}

/// Work of which a range's own times would be those of queueing it.
bool waits(const Record& r, TraceKind kind) { return r.wait && kind != TraceKind::kernel; }

}  // namespace

std::atomic<unsigned> detail::traced_kinds{0};

const char* trace_kind_name(TraceKind kind) {
  constexpr const char* kNames[] = {"range", "step",     "batch",    "model",  "node",
                                    "loss",  "backward", "gradient", "update", "kernel"};
  return kNames[static_cast<int>(kind)];
}

void TraceScope::begin(const char* name, TraceKind kind, const std::string* place) {
  Record& r = record();
  std::unique_lock lock(r.mutex);
  if (r.tracer == 0) return;  // it went just now
  wait_ = waits(r, kind);
  if (wait_) {
    const Device device = r.device;
    lock.unlock();
    synchronize(device);
    lock.lock();
    if (r.tracer == 0) return;
  }
  Thread& thread = enter(r);
  TraceEvent event = {.name = name_of(name, kind), .kind = kind, .thread = thread.number};
  event.parent = thread.open;
  const std::string around = place                                   ? *place
                             : event.parent == TraceEvent::kNoParent ? ""
                                                                     : r.events[event.parent].place;
  event.place = place_in(around, event.name, kind);
  backend::begin_range(event.name.c_str());
  event.launches = cuda_launch_count();
  event.bytes_before = pool_stats(r.device).in_use;
  tracer_ = r.tracer;
  index_ = thread.open = r.events.size();
  event.begin = r.now();
  event.end = -1;
  r.events.push_back(std::move(event));
}

void TraceScope::end() noexcept {
  Record& r = record();
  std::unique_lock lock(r.mutex);
  if (wait_ && r.tracer == tracer_) {
    const Device device = r.device;
    lock.unlock();
    try {
      synchronize(device);
    } catch (const std::exception&) {  // comes out of the next call that waits
    }
    lock.lock();
  }
  backend::end_range();
  if (r.tracer != tracer_) return;
  TraceEvent& event = r.events[index_];
  event.end = r.now();
  event.launches = cuda_launch_count() - event.launches;
  event.bytes_after = pool_stats(r.device).in_use;
  enter(r).open = event.parent;
}

std::string trace_place() {
  Record& r = record();
  std::lock_guard lock(r.mutex);
  if (r.tracer == 0) return {};
  const std::size_t open = enter(r).open;
  return open == TraceEvent::kNoParent ? std::string() : r.events[open].place;
}

Tracer::Tracer(Device device, TraceOptions options) {
  Record& r = record();
  std::lock_guard lock(r.mutex);
  LIMBECK_CHECK(r.tracer == 0, "Tracer: another one lives; expected one at a time");
  r.tracer = ++r.last_tracer;
  r.device = device;
  r.wait = options.wait && device.is_cuda();
  r.start = Clock::now();
  r.threads = 0;
  unsigned kinds = options.only.empty() ? ~0u : 0u;
  for (const TraceKind kind : options.only) kinds |= detail::bit_of(kind);
  detail::traced_kinds = kinds;
}

Tracer::~Tracer() {
  Record& r = record();
  std::lock_guard lock(r.mutex);
  detail::traced_kinds = 0;
  r.tracer = 0;
  r.events.clear();
}

std::vector<TraceEvent> Tracer::events() const {
  Record& r = record();
  std::lock_guard lock(r.mutex);
  std::vector<TraceEvent> events = r.events;
  for (TraceEvent& event : events) {
    if (event.end >= 0) continue;
    event.end = r.now();
    event.launches = cuda_launch_count() - event.launches;
    event.bytes_after = pool_stats(r.device).in_use;
  }
  return events;
}

}  // namespace limbeck

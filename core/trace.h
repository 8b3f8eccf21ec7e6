// SPDX-License-Identifier: Apache-2.0
// Where the time of a piece of work goes: named ranges, which nest, and the Tracer that records
// them while it lives.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <limbeck/core/device.h>

namespace limbeck {

/// What a range is: a training step; the fetch of its batch; one model's forward pass and a node of
/// it; a loss; a backward pass and one op of its tape; an update of the weights; a call of a
/// kernel.
enum class TraceKind { range, step, batch, model, node, loss, backward, gradient, update, kernel };
const char* trace_kind_name(TraceKind kind);

/// One range as it was seen, on one thread.
struct TraceEvent {
  static constexpr std::size_t kNoParent = static_cast<std::size_t>(-1);
  std::string name;
  /// Where in which model it is: "student/fc1", "student" outside of nodes, or empty. Of a gradient
  /// where the forward pass made the op.
  std::string place = {};
  TraceKind kind = TraceKind::range;
  int thread = 0;                                 ///< in the order in which threads came, from 0
  std::size_t parent = kNoParent;                 ///< number of the range around it on its thread
  double begin = 0, end = 0;                      ///< seconds since the tracer began
  std::uint64_t launches = 0;                     ///< cuda_launch_count() within
  std::size_t bytes_before = 0, bytes_after = 0;  ///< in use in the device's pool

  double seconds() const { return end - begin; }
};

namespace detail {
constexpr unsigned bit_of(TraceKind kind) { return 1u << static_cast<unsigned>(kind); }
extern std::atomic<unsigned> traced_kinds;  // their bits
}  // namespace detail

/// Whether a Tracer lives that records ranges of this kind.
inline bool traces(TraceKind kind) {
  return (detail::traced_kinds.load(std::memory_order_relaxed) & detail::bit_of(kind)) != 0;
}

/// Marks what this thread does while the scope lives. Costs a branch when nobody listens. In a
/// build for real GPUs what a Tracer records is an NVTX range too.
class TraceScope {
 public:
  /// A kernel's name may go on after it with a bracket: "relu(y, x)". `place` replaces the one that
  /// follows from the scopes around, to which models, nodes and losses add their names.
  explicit TraceScope(const char* name, TraceKind kind = TraceKind::range,
                      const std::string* place = nullptr) {
    if (traces(kind)) begin(name, kind, place);
  }
  explicit TraceScope(const std::string& name, TraceKind kind = TraceKind::range)
      : TraceScope(name.c_str(), kind) {}
  ~TraceScope() {
    if (tracer_ != 0) end();
  }
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  void begin(const char* name, TraceKind kind, const std::string* place);
  void end() noexcept;

  std::uint64_t tracer_ = 0;  // 0: nobody listens
  std::size_t index_ = 0;
  bool wait_ = false;
};

/// The place of the scope that this thread is in; empty when nobody listens.
std::string trace_place();

struct TraceOptions {
  /// Waits for the device at both ends of every range but a kernel's, so that times are those of
  /// the work and not of queueing it. Not while a graph is captured.
  bool wait = false;
  std::vector<TraceKind> only = {};  ///< the kinds to record; empty: all
};

/// Records the ranges of all threads while it lives, in the order they began. One at a time.
class Tracer {
 public:
  /// `device` is the one whose memory is watched. Throws std::invalid_argument when there is
  /// another tracer.
  explicit Tracer(Device device, TraceOptions options = {});
  ~Tracer();
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// All ranges so far; those that are still open end now.
  std::vector<TraceEvent> events() const;
};

}  // namespace limbeck

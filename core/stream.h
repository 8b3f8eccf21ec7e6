// SPDX-License-Identifier: Apache-2.0
// Streams: queues of device work that may run side by side, and the events that order them. On the
// CPU, where every call is done when it returns, all of this is without effect.
#pragma once

#include <functional>

#include <limbeck/core/backend.h>
#include <limbeck/core/device.h>

namespace limbeck {

/// A queue of its own beside the device's compute stream. Memory taken from the pool while it is
/// selected is reused in its order: work of another stream that uses such a tensor must be ordered
/// before whatever this stream does after the tensor is gone.
class Stream {
 public:
  explicit Stream(Device device);
  ~Stream();  ///< after its work is done
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  Device device() const { return device_; }

 private:
  friend class StreamScope;
  Device device_;
  backend::Stream* handle_ = nullptr;
};

/// Selects a stream for what this thread queues on its device while the scope lives.
class StreamScope {
 public:
  explicit StreamScope(const Stream& stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  Device device_;
  backend::Stream* before_ = nullptr;
};

/// A place in a stream that other streams can wait for.
class Event {
 public:
  explicit Event(Device device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record();  ///< all that is queued on the selected stream so far
  void wait();    ///< what is queued there from now on runs after the last record, if any

 private:
  Device device_;
  backend::Event* handle_ = nullptr;
};

/// Work beside the selected stream: what run() queues goes to a stream of the branch's own, after
/// all that was queued before; join() makes the selected stream wait for it.
///
///   branch.run([&] { teacher_forward(); });
///   student_forward();  // at the same time
///   branch.join();
class Branch {
 public:
  explicit Branch(Device device) : stream_(device), fork_(device), done_(device) {}

  void run(const std::function<void()>& body);
  void join();

 private:
  Stream stream_;
  Event fork_, done_;
};

}  // namespace limbeck

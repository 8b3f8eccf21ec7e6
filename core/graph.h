// SPDX-License-Identifier: Apache-2.0
// Graph: device work recorded once and launched many times, without the cost of queueing it anew.
#pragma once

#include <cstdint>
#include <functional>

#include <limbeck/core/backend.h>
#include <limbeck/core/device.h>

namespace limbeck {

class Graph {
 public:
  /// Records what `body` queues on the selected stream of a GPU, and on streams that wait for it
  /// and are waited for; nothing runs yet. The graph keeps the pool's memory that body takes, so
  /// tensors made in it are the graph's and are written anew at each launch; tensors made before
  /// that it reads or writes, and streams and events, must outlive it. `body` must not wait for the
  /// device (copies from and to the host do, item() does), nor may another thread queue work on the
  /// same stream meanwhile; it is best run once before, for what libraries set up on first use.
  /// Throws CudaError, and std::invalid_argument on the CPU.
  Graph(Device device, const std::function<void()>& body);
  ~Graph();  ///< after its launches are done
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Queues all of it on the selected stream, with the arguments it was recorded with.
  void launch() const;

 private:
  Device device_;
  std::uint64_t memory_ = 0;
  backend::Graph* handle_ = nullptr;
};

}  // namespace limbeck

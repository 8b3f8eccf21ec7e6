// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/graph.h>

#include <limbeck/core/device_work.h>
#include <limbeck/core/error.h>
#include <limbeck/core/pool.h>

namespace limbeck {

Graph::Graph(Device device, const std::function<void()>& body) : device_(device) {
  LIMBECK_CHECK(device.is_cuda(), "Graph: device is ", device, "; expected a GPU");
  backend::begin_capture(device.index());
  memory_ = pool_begin_region(device);
  try {
    body();
    pool_end_region();
    handle_ = backend::end_capture(device.index());
  } catch (...) {
    pool_end_region();
    backend::abandon_capture(device.index());
    pool_drop_region(device, memory_);
    throw;
  }
}

Graph::~Graph() {
  backend::destroy_graph(device_.index(), handle_);
  pool_drop_region(device_, memory_);
}

void Graph::launch() const {
  detail::count_queued();
  backend::launch_graph(device_.index(), handle_);
}

}  // namespace limbeck

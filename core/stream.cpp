// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/stream.h>

#include <limbeck/core/pool.h>

namespace limbeck {

Stream::Stream(Device device) : device_(device) {
  if (!device_.is_cuda()) return;
  handle_ = backend::create_stream(device_.index());
  pool_add_stream(device_, handle_);
}
Stream::~Stream() {
  if (!device_.is_cuda()) return;
  backend::destroy_stream(device_.index(), handle_);
  pool_drop_stream(device_, handle_);
}

StreamScope::StreamScope(const Stream& stream) : device_(stream.device()) {
  if (!device_.is_cuda()) return;
  before_ = backend::selected_stream(device_.index());
  backend::select_stream(device_.index(), stream.handle_);
}
StreamScope::~StreamScope() {
  if (device_.is_cuda()) backend::select_stream(device_.index(), before_);
}

Event::Event(Device device) : device_(device) {
  if (device_.is_cuda()) handle_ = backend::create_event(device_.index());
}
Event::~Event() {
  if (device_.is_cuda()) backend::destroy_event(device_.index(), handle_);
}
void Event::record() {
  if (device_.is_cuda()) backend::record_event(device_.index(), handle_);
}
void Event::wait() {
  if (device_.is_cuda()) backend::wait_event(device_.index(), handle_);
}

void Branch::run(const std::function<void()>& body) {
  fork_.record();
  const StreamScope scope(stream_);
  fork_.wait();
  body();
  done_.record();
}
void Branch::join() { done_.wait(); }

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// What the emulated CUDA libraries do with a call: check its arguments as they would, and queue it.
#pragma once

#include <functional>

#include <limbeck/core/tensor.h>

namespace limbeck::simt {

/// A device tensor as a library sees it: an address and a shape, which keep no memory alive.
class Argument {
 public:
  /// Throws CudaError unless t is on the device, not empty, and of the dtype and shape expected.
  Argument(const char* call, const char* name, const Tensor& t, DType dtype, const Shape& shape);
  /// A copy on the host of what is there when the call runs.
  Tensor fetch() const;
  void store(const Tensor& result) const;

 private:
  void check() const;

  const char* call_;
  const char* name_;
  void* p_;
  DType dtype_;
  Shape shape_;
};

/// Queues a library's work, which counts as a launch.
void enqueue_call(std::function<void()> work);

}  // namespace limbeck::simt

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tests/simt/library.h>

#include <cstring>
#include <utility>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/error.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/queue.h>

namespace limbeck::simt {

using limbeck::detail::concat;

Argument::Argument(const char* call, const char* name, const Tensor& t, DType dtype,
                   const Shape& shape)
    : call_(call), name_(name), p_(const_cast<void*>(t.raw())), dtype_(dtype), shape_(shape) {
  if (!t.device().is_cuda() || t.numel() == 0)
    throw CudaError(concat(call, ": ", name, " ", t.shape(), " is on ", t.device(),
                           "; expected device memory, not empty"));
  if (t.dtype() != dtype || t.shape() != shape || dtype_size(dtype) > 4)
    throw CudaError(concat(call, ": ", name, " is ", t.dtype(), t.shape(), "; expected ", dtype,
                           shape, " in f32, bf16 or f16"));
  check();
}

Tensor Argument::fetch() const {
  check();
  Tensor t = Tensor::empty(shape_, dtype_);
  const DeviceMemoryAccess open;
  std::memcpy(t.raw(), p_, t.nbytes());
  return t;
}

void Argument::store(const Tensor& result) const {
  check();
  const DeviceMemoryAccess open;
  std::memcpy(p_, result.raw(), result.nbytes());
}

void enqueue_call(std::function<void()> work) {
  detail::count_cuda_launch();
  enqueue(std::move(work));
}

void Argument::check() const {
  const std::size_t bytes = static_cast<std::size_t>(shape_.numel()) * dtype_size(dtype_);
  if (!find_allocation(p_).contains(p_, bytes))
    throw CudaError(concat(call_, ": ", name_, " ", shape_, " at ", p_,
                           " is not in one live device allocation"));
  if (reinterpret_cast<std::uintptr_t>(p_) % dtype_size(dtype_) != 0)
    throw CudaError(concat(call_, ": ", name_, " at ", p_, " is not aligned to its ", dtype_));
}

}  // namespace limbeck::simt

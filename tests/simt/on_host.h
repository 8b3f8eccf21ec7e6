// SPDX-License-Identifier: Apache-2.0
// What the emulated CUDA libraries do with an argument: check it as they would, and fetch it.
#pragma once

#include <limbeck/core/error.h>
#include <limbeck/core/tensor.h>

namespace limbeck::simt {

/// A copy of `t` for the CPU twin. Throws CudaError unless t is on the device and not empty.
inline Tensor on_host(const char* call, const char* argument, const Tensor& t) {
  if (!t.device().is_cuda() || t.numel() == 0)
    throw CudaError(limbeck::detail::concat(call, ": ", argument, " ", t.shape(), " is on ",
                                            t.device(), "; expected device memory, not empty"));
  return t.to(Device::cpu());
}

}  // namespace limbeck::simt

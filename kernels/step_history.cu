// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/step_history.h>

#include <limbeck/core/gpu.h>

namespace limbeck::cuda {
namespace {

/// One thread.
LIMBECK_KERNEL record_step_kernel(float* history, std::int64_t n, StepNumber step,
                                  const float* value) {
  history[static_cast<std::int64_t>(step.get()) % n] = *value;
}

}  // namespace

void record_step(Tensor& history, const StepNumber& step, const Tensor& value) {
  gpu::launch({"record_step", 1, 1}, record_step_kernel, history.data<float>(), history.dim(0),
              step, value.data<float>());
}

}  // namespace limbeck::cuda

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/step_history.h>

#include <limbeck/core/dispatch.h>

namespace limbeck {

void record_step(Tensor& history, const StepNumber& step, const Tensor& value) {
  LIMBECK_CHECK(history.rank() == 1 && history.dim(0) >= 1 && history.dtype() == DType::f32,
                "record_step: history is ", history.dtype(), history.shape(),
                "; expected f32 (n) with n >= 1");
  LIMBECK_CHECK(value.shape() == Shape{1} && value.dtype() == DType::f32 &&
                    value.device() == history.device(),
                "record_step: value is ", value.dtype(), value.shape(), " on ", value.device(),
                "; expected f32 (1) on ", history.device());
  LIMBECK_CHECK(!step.known() || step.value >= 0, "record_step: step is ", step.value,
                "; expected >= 0");
  LIMBECK_DISPATCH(history.device(), record_step(history, step, value));
}

namespace cpu {

void record_step(Tensor& history, const StepNumber& step, const Tensor& value) {
  const auto number = static_cast<std::int64_t>(step.get());
  history.data<float>()[number % history.dim(0)] = *value.data<float>();
}

}  // namespace cpu
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// The chunks are the same calls on every device (kd_head.cpp); only the rows are counted here.
#include <limbeck/kernels/kd_head.h>

#include <limbeck/kernels/mean_scale.cuh>

namespace limbeck::cuda {

void inverse_label_count(Tensor& scale, const Tensor& labels) {
  gpu::launch({"inverse_label_count", 1, gpu::kCountThreads}, gpu::inverse_count_kernel<float>,
              scale.data<float>(), labels.data<std::int32_t>(), labels.numel());
}

}  // namespace limbeck::cuda

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_conv2d.h>

#include <limbeck/kernels/cudnn.h>
#include <limbeck/kernels/deal_columns.cuh>

namespace limbeck::cuda {

void joined_conv2d_forward(std::span<Conv2dPart> parts, const Tensor& x,
                           const Conv2dOptions& options, const WeightStack& stack) {
  if (!stack.w.defined() || parts.size() < 2 || x.numel() == 0) {
    for (Conv2dPart& part : parts) {
      Conv2dOptions own = options;
      own.relu = part.relu;
      cuda::conv2d_forward(part.y, x, part.w, part.bias, own);
    }
    return;
  }
  std::int64_t channels = 0;
  for (const Conv2dPart& part : parts) channels += part.w.dim(0);
  const Tensor w = stack.w.rows(0, channels);
  Tensor z =
      Tensor::empty(conv2d_output_shape(x.shape(), w.shape(), options), x.dtype(), x.device());
  cudnn::conv2d_forward(z, x, w, options);
  gpu::visit_gpu_floating("joined_conv2d", z.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::Shares<T> shares{};
    for (Conv2dPart& part : parts) shares.add(part.y, part.bias, part.relu);
    gpu::deal_columns("joined_conv2d", shares, z);
  });
}

}  // namespace limbeck::cuda

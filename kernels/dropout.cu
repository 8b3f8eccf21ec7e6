// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dropout.h>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

struct Mask {
  RngStream stream;
  std::uint32_t threshold;
  float keep;
  std::int64_t first_element;
};

/// One thread per Philox block, that is per four words of the stream.
template <class T>
LIMBECK_KERNEL dropout_kernel(T* y, const T* x, std::int64_t n, Mask mask) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const std::int64_t block = (mask.first_element >> 2) + thread;
  const std::int64_t first = 4 * block - mask.first_element;  // may be -3 .. -1 in thread 0
  if (first >= n) return;
  const Philox4 b = philox_block(mask.stream.resolved(), static_cast<std::uint32_t>(block));
  const std::uint32_t word[4] = {b.x, b.y, b.z, b.w};
  for (int k = 0; k < 4; ++k) {
    const std::int64_t i = first + k;
    if (i >= 0 && i < n)
      y[i] = T(word[k] >= mask.threshold ? static_cast<float>(x[i]) / mask.keep : 0.0f);
  }
}

/// One thread per element, which asks for its group's word.
template <class T>
LIMBECK_KERNEL drop_groups_kernel(T* y, const T* x, std::int64_t n, std::int64_t together,
                                  Mask mask) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const auto group = static_cast<std::uint64_t>((mask.first_element + i) / together);
  const bool kept = philox_word(mask.stream.resolved(), group) >= mask.threshold;
  y[i] = T(kept ? static_cast<float>(x[i]) / mask.keep : 0.0f);
}

}  // namespace

void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options) {
  const std::int64_t n = x.numel();
  if (n == 0) return;
  const Mask mask{options.stream, dropout_threshold(options.p), static_cast<float>(1 - options.p),
                  options.first_element};
  const std::int64_t threads = (n + 3 + options.first_element % 4) / 4;
  gpu::visit_gpu_floating("dropout", x.dtype(), [&]<class T>(TypeTag<T>) {
    if (options.together > 1)
      return gpu::launch({"drop_groups", gpu::blocks_for(n, 256), 256}, drop_groups_kernel<T>,
                         y.data<T>(), x.data<T>(), n, options.together, mask);
    gpu::launch({"dropout", gpu::blocks_for(threads, 256), 256}, dropout_kernel<T>, y.data<T>(),
                x.data<T>(), n, mask);
  });
}

}  // namespace limbeck::cuda

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/mix_images.h>

#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

constexpr int kThreads = 128;

/// Of one batch, in elements of a row.
struct Batch {
  std::int64_t count, height, row;
  std::int64_t top, bottom, left, right;
  float weight, rest;
};

/// One block per row of an image; reads x once, and once more inside the window.
template <class T>
LIMBECK_KERNEL mix_images_kernel(T* y, const T* x, const std::int32_t* partners, Batch batch) {
  const std::int64_t line = blockIdx.x, b = line / batch.height, h = line - b * batch.height;
  const std::int64_t partner = partners[b];
  const bool inside = batch.top <= h && h < batch.bottom && 0 <= partner && partner < batch.count;
  const T* own = x + line * batch.row;
  const T* other = inside ? x + (partner * batch.height + h) * batch.row : own;
  for (std::int64_t j = threadIdx.x; j < batch.row; j += kThreads) {
    const bool mixed = inside && batch.left <= j && j < batch.right;
    y[line * batch.row + j] = mixed ? T(batch.weight * static_cast<float>(own[j]) +
                                        batch.rest * static_cast<float>(other[j]))
                                    : own[j];
  }
}

/// One thread per place; counts the words before its own.
LIMBECK_KERNEL random_partners_kernel(std::int32_t* partners, RngStream stream, std::uint32_t n) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  stream = stream.resolved();
  const std::uint32_t own = philox_word(stream, i);
  std::uint32_t rank = 0;
  for (std::uint32_t j = 0; j < n; j += 4) {
    const Philox4 block = philox_block(stream, j / 4);
    const std::uint32_t words[4] = {block.x, block.y, block.z, block.w};
    for (std::uint32_t k = 0; k < 4 && j + k < n; ++k)
      rank += words[k] < own || (words[k] == own && j + k < i);
  }
  partners[rank] = static_cast<std::int32_t>(i);
}

}  // namespace

void mix_images(Tensor& y, const Tensor& x, const Tensor& partners, const ImageMixture& m) {
  if (x.numel() == 0) return;
  const std::int64_t channels = x.dim(3);
  const Batch batch = {x.dim(0),
                       x.dim(1),
                       x.dim(2) * channels,
                       m.top,
                       m.bottom,
                       m.left * channels,
                       m.right * channels,
                       static_cast<float>(m.weight),
                       static_cast<float>(1 - m.weight)};
  gpu::visit_gpu_floating("mix_images", x.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::launch({"mix_images", static_cast<unsigned>(batch.count * batch.height), kThreads},
                mix_images_kernel<T>, y.data<T>(), x.data<T>(), partners.data<std::int32_t>(),
                batch);
  });
}

void random_partners(Tensor& partners, const RngStream& stream) {
  if (partners.numel() == 0) return;
  gpu::launch({"random_partners", gpu::blocks_for(partners.numel(), kThreads), kThreads},
              random_partners_kernel, partners.data<std::int32_t>(), stream,
              static_cast<std::uint32_t>(partners.numel()));
}

}  // namespace limbeck::cuda

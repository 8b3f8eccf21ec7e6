// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_linear.h>

#include <algorithm>

#include <limbeck/kernels/cublas.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::cuda {
namespace {

/// Columns [begin[i], begin[i + 1]) of every row are y[i]'s.
template <class T>
struct Shares {
  T* y[kMaxJoined];
  std::int64_t begin[kMaxJoined + 1];
  int count;
};

/// One thread per element of z (rows, columns): neighbours read and write neighbours.
template <class T>
LIMBECK_KERNEL deal_kernel(Shares<T> shares, const T* z, std::int64_t n, std::int64_t columns) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const std::int64_t row = i / columns, column = i % columns;
  int part = 0;
  while (column >= shares.begin[part + 1]) ++part;
  const std::int64_t width = shares.begin[part + 1] - shares.begin[part];
  shares.y[part][row * width + column - shares.begin[part]] = z[i];
}

void deal(std::span<LinearPart> parts, const Tensor& z) {
  gpu::visit_gpu_floating("joined_linear", z.dtype(), [&]<class T>(TypeTag<T>) {
    Shares<T> shares{};
    for (LinearPart& part : parts) {
      shares.y[shares.count] = part.y.data<T>();
      shares.begin[shares.count + 1] = shares.begin[shares.count] + part.w.dim(0);
      ++shares.count;
    }
    gpu::launch({"joined_linear", gpu::blocks_for(z.numel(), 256), 256}, deal_kernel<T>, shares,
                z.data<T>(), z.numel(), z.dim(1));
  });
}

bool is_one_product(std::span<const LinearPart> parts, const Tensor& x, const LinearStack& stack) {
  const Activation act = parts[0].act;
  return stack.w.defined() && parts.size() > 1 && x.numel() > 0 &&
         (act == Activation::none || act == Activation::relu) &&
         std::all_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
           return part.act == act && !part.pre.defined();
         });
}

}  // namespace

void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const LinearStack& stack) {
  if (!is_one_product(parts, x, stack)) {
    for (LinearPart& part : parts)
      cuda::linear_forward(part.y, part.pre.defined() ? &part.pre : nullptr, x, part.w, part.bias,
                           part.act);
    return;
  }
  std::int64_t columns = 0;
  for (const LinearPart& part : parts) columns += part.w.dim(0);
  Tensor z = Tensor::empty({x.dim(0), columns}, x.dtype(), x.device());
  cublas::linear(z, x, stack.w.rows(0, columns),
                 stack.bias.defined() ? stack.bias.rows(0, columns) : Tensor(),
                 parts[0].act == Activation::relu);
  deal(parts, z);
}

}  // namespace limbeck::cuda

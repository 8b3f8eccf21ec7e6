// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/joined_linear.h>

#include <algorithm>

#include <limbeck/kernels/cublas.h>
#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/deal_columns.cuh>

namespace limbeck::cuda {
namespace {

bool is_one_product(std::span<const LinearPart> parts, const Tensor& x, const WeightStack& stack) {
  const Activation act = parts[0].act;
  return stack.w.defined() && parts.size() > 1 && x.numel() > 0 &&
         (act == Activation::none || act == Activation::relu) &&
         std::all_of(parts.begin(), parts.end(), [&](const LinearPart& part) {
           return part.act == act && !part.pre.defined();
         });
}

}  // namespace

void joined_linear_forward(std::span<LinearPart> parts, const Tensor& x, const WeightStack& stack) {
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
  gpu::visit_gpu_floating("joined_linear", z.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::Shares<T> shares{};
    for (LinearPart& part : parts) shares.add(part.y, Tensor(), false);
    gpu::deal_columns("joined_linear", shares, z);
  });
}

}  // namespace limbeck::cuda

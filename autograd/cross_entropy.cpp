// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/cross_entropy.h>

#include <limbeck/autograd/row_loss.h>

namespace limbeck {

Variable cross_entropy(const Variable& logits, const Tensor& labels, CrossEntropyOptions options) {
  const Tensor& z = logits.value();
  LIMBECK_CHECK(z.rank() == 2, "cross_entropy: logits have shape ", z.shape(), "; expected (N,V)");
  if (options.mean_over == 0) options.mean_over = counted_rows(labels, z.dim(0));
  const DType loss_dtype = z.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor losses = Tensor::empty({z.dim(0)}, loss_dtype, z.device());
  Tensor dlogits;
  if (records({&logits, 1})) dlogits = Tensor::empty_like(z);
  cross_entropy_forward_with_grad(losses, dlogits, z, labels, options);
  return row_loss("cross_entropy", logits, losses, dlogits, options.mean_over);
}

}  // namespace limbeck

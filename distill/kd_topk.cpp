// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/kd_topk.h>

#include <limbeck/autograd/row_loss.h>

namespace limbeck {

Variable kd_topk(const Variable& student, const SparseTeacher& teacher, const Tensor& labels,
                 KdLossOptions options) {
  const Tensor& zs = student.value();
  LIMBECK_CHECK(zs.rank() == 2, "kd_topk: student has shape ", zs.shape(), "; expected (N,V)");
  if (options.mean_over == 0) options.mean_over = counted_rows(labels, zs.dim(0));
  const DType loss_dtype = zs.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor losses = Tensor::empty({zs.dim(0)}, loss_dtype, zs.device());
  Tensor dstudent;
  if (records({&student, 1})) dstudent = Tensor::empty_like(zs);
  kd_topk_forward_with_grad(losses, dstudent, zs, teacher, labels, options);
  return row_loss("kd_topk", student, losses, dstudent, options.mean_over);
}

}  // namespace limbeck

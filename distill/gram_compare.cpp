// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/gram_compare.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/norm_checks.h>

namespace limbeck {

Variable gram_compare(const Variable& student, const Tensor& teacher,
                      const GramCompareOptions& options) {
  const Tensor& s = student.value();
  GramCompareOutputs out;
  out.loss = Tensor::empty({1}, statistics_dtype(s.dtype()), s.device());
  out.scale = Tensor::empty_like(out.loss);
  if (records({&student, 1})) out.dgram = Tensor::empty_like(s);
  gram_compare_forward_with_grad(out, s, teacher, options);
  return record(
      "gram_compare", out.loss, {student},
      [dgram = out.dgram, factor = out.scale](const Tensor& dloss, std::span<InputGrad> inputs) {
        Tensor ds = dgram, upstream = dloss;
        mul(upstream, upstream, factor);
        scale_by(ds, ds, upstream);
        inputs[0].give(ds);
      });
}

}  // namespace limbeck

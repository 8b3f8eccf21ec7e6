// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/virtual_teacher.h>

#include <cmath>

#include <limbeck/core/error.h>
#include <limbeck/kernels/one_hot.h>

namespace limbeck {
namespace {

void check(const Tensor& labels, std::int64_t V, const VirtualTeacherOptions& options) {
  LIMBECK_CHECK(labels.defined() && labels.rank() == 1, "virtual_teacher: labels is ",
                labels.defined() ? detail::concat(labels.shape()) : "undefined", "; expected (N)");
  LIMBECK_CHECK(V >= 2, "virtual_teacher: V is ", V, "; expected 2 classes or more");
  LIMBECK_CHECK(options.right * static_cast<double>(V) > 1 && options.right < 1,
                "virtual_teacher: right is ", options.right, "; expected more than 1/V = 1/", V,
                " and less than 1");
  LIMBECK_CHECK(options.tau > 0 && std::isfinite(options.tau), "virtual_teacher: tau is ",
                options.tau, "; expected > 0");
}

}  // namespace

Tensor virtual_teacher(const Tensor& labels, std::int64_t V, const VirtualTeacherOptions& options,
                       DType dtype) {
  check(labels, V, options);
  const double right = options.right, other = (1 - right) / static_cast<double>(V - 1);
  Tensor logits = Tensor::empty({labels.dim(0), V}, dtype, labels.device());
  if (options.form == VirtualTeacherForm::paper)
    one_hot(logits, labels, std::log(right), std::log(other));
  else
    one_hot(logits, labels, right / options.tau, other / options.tau);
  return logits;
}

}  // namespace limbeck

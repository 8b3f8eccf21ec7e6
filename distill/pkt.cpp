// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/pkt.h>

#include <limbeck/autograd/gram.h>
#include <limbeck/autograd/row_loss.h>
#include <limbeck/autograd/unit_rows.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/similarity_kl.h>

namespace limbeck {

Tensor Pkt::encode(const Tensor& source) const {
  check_tap("pkt", "source", source, source_);
  const NoGrad no_grad;
  return unit_rows(tap_vectors(Variable(source))).value();
}

Variable Pkt::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("pkt", "receiver", receiver.value(), receiver_);
  check_code("pkt", code, code_shape(), receiver.value());
  check_whole_batch("pkt", receiver.value(), mean_over);
  const Variable student = gram(unit_rows(tap_vectors(receiver)));
  const Tensor teacher = gram(Variable(code)).value();
  Tensor losses = Tensor::empty({code.dim(0)}, code.dtype(), code.device()), dgram;
  if (records({&student, 1})) dgram = Tensor::empty_like(teacher);
  similarity_kl_forward_with_grad(losses, dgram, student.value(), teacher);
  return row_loss("pkt", student, losses, dgram, mean_over);
}

}  // namespace limbeck

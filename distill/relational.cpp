// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/relational.h>

#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/pair_squares.h>

namespace limbeck {
namespace {

Tensor squares_of(const Tensor& rows) {
  Tensor squares = Tensor::empty({rows.dim(0), rows.dim(0)}, DType::f64, rows.device());
  pair_squares_forward(squares, rows);
  return squares;
}

}  // namespace

Variable relational_loss(const Variable& receiver, const Tensor& source,
                         const RelationalOptions& options) {
  const Tensor& x = receiver.value();
  const Tensor squares = squares_of(x);
  Tensor loss = Tensor::empty({1}, statistics_dtype(x.dtype()), x.device());
  Tensor dsquares = records({&receiver, 1}) ? Tensor::empty_like(squares) : Tensor();
  relational_loss_forward_with_grad(loss, dsquares, squares, squares_of(source), options);
  return record("relational_loss", loss, {receiver},
                [x, dsquares](const Tensor& dloss, std::span<InputGrad> inputs) {
                  Tensor dx = Tensor::empty_like(x);
                  pair_squares_backward(dx, x, dsquares, dloss);
                  inputs[0].give(dx);
                });
}

Relational::Relational(const Shape& receiver, const Shape& source, const RelationalOptions& options)
    : receiver_(receiver), source_(source), options_(options) {
  check_relational_options("relational", options);
}

Tensor Relational::encode(const Tensor& source) const {
  check_tap("relational", "source", source, source_);
  return source.reshape({source.dim(0), source_.numel()});
}

Variable Relational::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("relational", "receiver", receiver.value(), receiver_);
  check_code("relational", code, code_shape(), receiver.value());
  check_whole_batch("relational", receiver.value(), mean_over);
  return relational_loss(tap_vectors(receiver), code, options_);
}

std::string Relational::describe() const {
  return detail::concat("relational(", options_.distance_weight, " distance, ",
                        options_.angle_weight, " angle)");
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/kd_loss.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/log_softmax.h>
#include <limbeck/autograd/row_loss.h>

namespace limbeck {
namespace {

/// A tensor like `like` (N,V) whose element (n,v) is cell(label_n, v).
template <class Cell>
Variable constant(const Tensor& like, const Tensor& labels, const Cell& cell) {
  const std::int64_t N = like.dim(0), V = like.dim(1);
  std::vector<double> values(static_cast<std::size_t>(N * V));
  const std::vector<std::int32_t> label =
      labels.defined() ? labels.to_vector<std::int32_t>()
                       : std::vector<std::int32_t>(static_cast<std::size_t>(N), 0);
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t v = 0; v < V; ++v)
      values[static_cast<std::size_t>(n * V + v)] = cell(label[static_cast<std::size_t>(n)], v);
  return Variable(Tensor::from(values, like.shape()).to(like.dtype()).to(like.device()));
}

}  // namespace

Variable kd_loss(const Variable& student, const Tensor& teacher, const Tensor& labels,
                 KdLossOptions options) {
  const Tensor& zs = student.value();
  LIMBECK_CHECK(zs.rank() == 2, "kd_loss: student has shape ", zs.shape(), "; expected (N,V)");
  if (options.mean_over == 0) options.mean_over = counted_rows(labels, zs.dim(0));
  const DType loss_dtype = zs.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor losses = Tensor::empty({zs.dim(0)}, loss_dtype, zs.device());
  Tensor dstudent;
  if (records({&student, 1})) dstudent = Tensor::empty_like(zs);
  kd_loss_forward_with_grad(losses, dstudent, zs, teacher, labels, options);
  return row_loss("kd_loss", student, losses, dstudent, options.mean_over);
}

Variable kd_loss_composed(const Variable& student, const Tensor& teacher, const Tensor& labels,
                          const KdLossOptions& options) {
  const Tensor& zs = student.value();
  const double rows = options.mean_over != 0 ? options.mean_over : counted_rows(labels, zs.dim(0));
  const Variable counts = constant(zs, labels, [](std::int32_t label, std::int64_t) {
    return label == kIgnoreIndex ? 0.0 : 1.0;
  });
  const Variable log_pt = log_softmax(scale(Variable(teacher), 1 / options.tau));
  const Variable log_ps = log_softmax(scale(student, 1 / options.tau));
  const Variable kl = sum(mul(mul(counts, exp(log_pt)), sub(log_pt, log_ps)));
  Variable soft = scale(kl, options.kd_weight * options.tau * options.tau / rows);
  if (options.ce_weight == 0) return soft;
  const Variable target = constant(
      zs, labels, [](std::int32_t label, std::int64_t v) { return label == v ? 1.0 : 0.0; });
  const Variable ce = scale(sum(mul(target, log_softmax(student))), -options.ce_weight / rows);
  return add(soft, ce);
}

}  // namespace limbeck

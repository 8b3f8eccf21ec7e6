// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/kd_head.h>

#include <limbeck/autograd/row_loss.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

struct Gradients {
  Tensor hidden, weight;  // undefined where not needed; weight in f32 or f64
};

struct Head {
  Tensor hidden, weight, teacher_hidden, teacher_weight, labels;
  KdHeadOptions options;

  DType sum_dtype() const { return hidden.dtype() == DType::f64 ? DType::f64 : DType::f32; }

  /// Returns the row losses.
  Tensor compute(Gradients& to) const {
    Tensor losses = Tensor::empty({hidden.dim(0)}, sum_dtype(), hidden.device());
    kd_head_forward_with_grad(losses, to.hidden, to.weight, hidden, weight, teacher_hidden,
                              teacher_weight, labels, options);
    return losses;
  }
  Gradients room(bool for_hidden, bool for_weight) const {
    Gradients g;
    if (for_hidden) g.hidden = Tensor::empty_like(hidden);
    if (for_weight) g.weight = Tensor::empty(weight.shape(), sum_dtype(), weight.device());
    return g;
  }
};

void give(InputGrad& input, Tensor gradient, const Tensor& dloss, DType dtype) {
  if (!input.needed()) return;
  scale_by(gradient, gradient, dloss);
  input.give(gradient.to(dtype));
}

}  // namespace

Variable kd_head(const Variable& hidden, const Variable& weight, const Tensor& teacher_hidden,
                 const Tensor& teacher_weight, const Tensor& labels, KdHeadOptions options,
                 KdHeadGradient gradient) {
  const Tensor& x = hidden.value();
  LIMBECK_CHECK(x.rank() == 2, "kd_head: student_hidden has shape ", x.shape(),
                "; expected a matrix with columns");
  double& mean_over = options.loss.mean_over;
  if (mean_over == 0) mean_over = counted_rows(labels, x.dim(0));
  const Head head{x, weight.value(), teacher_hidden, teacher_weight, labels, options};
  const bool now = gradient == KdHeadGradient::in_forward;
  Gradients kept = head.room(now && records({&hidden, 1}), now && records({&weight, 1}));
  const Tensor losses = head.compute(kept);
  Tensor loss = Tensor::empty({1}, losses.dtype(), losses.device());
  sum_rows(loss, losses.reshape({losses.numel(), 1}));
  scale(loss, loss, 1 / mean_over);
  return record("kd_head", loss, {hidden, weight},
                [head, kept, now](const Tensor& dloss, std::span<InputGrad> inputs) {
                  Gradients g = kept;
                  if (!now) {
                    g = head.room(inputs[0].needed(), inputs[1].needed());
                    head.compute(g);
                  }
                  give(inputs[0], g.hidden, dloss, head.hidden.dtype());
                  give(inputs[1], g.weight, dloss, head.weight.dtype());
                });
}

}  // namespace limbeck

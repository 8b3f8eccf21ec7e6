// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/channel_norm.h>

#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/channel_norm.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

enum class From { x, elsewhere };  // where the statistics come from, and so whether they vary

/// x as (N,R,C) and what it is normalised with.
struct Normalised {
  Tensor x;
  ChannelNorm norm;
  From from;
  Tensor y = {};  // where a relu follows an addition

  void backward(const Tensor& dout, std::span<InputGrad> inputs) const {
    Tensor dz = dout.reshape(x.shape());  // becomes the gradient of what is before the relu
    Tensor sum_dy, sum_dyn;
    const bool varies = inputs[0].needed() && from == From::x;
    if (varies || inputs[1].needed() || inputs[2].needed()) {
      sum_dy = Tensor::empty({x.dim(0), x.dim(2)}, norm.mean.dtype(), x.device());
      sum_dyn = Tensor::empty_like(sum_dy);
      if (y.defined())
        channel_norm_add_relu_sums(sum_dy, sum_dyn, dz, dz, y, x, norm);
      else
        channel_norm_sums(sum_dy, sum_dyn, dz, x, norm);
    } else if (y.defined()) {
      activation_backward(dz, dz, y, Activation::relu);
    }
    inputs[1].accumulate([&](Tensor& dw, Out out) { sum_rows(dw, sum_dyn, out); });
    inputs[2].accumulate([&](Tensor& db, Out out) { sum_rows(db, sum_dy, out); });
    Tensor dx;
    if (inputs[0].needed()) {
      dx = inputs[3].needed() ? Tensor::empty_like(dz) : dz;  // which the sums have read
      channel_norm_backward(dx, dz, x, norm, varies ? sum_dy : Tensor(),
                            varies ? sum_dyn : Tensor());
    }
    if (inputs[3].needed()) inputs[3].give(dz.reshape(dout.shape()));
    if (inputs[0].needed()) inputs[0].give(dx.reshape(dout.shape()));
  }
};

Tensor value_or_none(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

void check_after(const char* op, const Variable& x, const AfterNorm& after) {
  if (!after.skip.defined()) return;
  const Tensor &skip = after.skip.value(), &xv = x.value();
  LIMBECK_CHECK(after.relu, op, ": a skip is added and no relu follows; expected one");
  LIMBECK_CHECK(skip.shape() == xv.shape() && skip.dtype() == xv.dtype(), op, ": skip is ",
                skip.dtype(), skip.shape(), ", x ", xv.dtype(), xv.shape(),
                "; expected equal ones");
}

Variable normalise(const char* op, const Variable& x, Normalised from, const Variable& weight,
                   const Variable& bias, const AfterNorm& after) {
  from.norm.weight = value_or_none(weight);
  from.norm.bias = value_or_none(bias);
  Tensor y = Tensor::empty_like(from.x);
  if (after.skip.defined()) {
    channel_norm_add_relu_forward(y, from.x, after.skip.value().reshape(y.shape()), from.norm);
    from.y = y;
  } else {
    from.norm.relu = after.relu;
    channel_norm_forward(y, from.x, from.norm);
  }
  return record(
      op, y.reshape(x.shape()), {x, weight, bias, after.skip},
      [from](const Tensor& dy, std::span<InputGrad> inputs) { from.backward(dy, inputs); });
}

/// x with statistics of its own for each of N samples' G groups.
Normalised with_own_statistics(const Variable& x, std::int64_t N, std::int64_t G, double eps) {
  const Tensor& xv = x.value();
  const std::int64_t C = xv.dim(xv.rank() - 1);
  const Tensor cells = xv.reshape({N, N == 0 ? 1 : xv.numel() / N / C, C});
  Tensor mean = Tensor::empty({N, G}, statistics_dtype(xv.dtype()), xv.device());
  Tensor variance = Tensor::empty_like(mean);
  channel_statistics(mean, variance, cells);
  return {cells, {.mean = mean, .variance = variance, .eps = eps}, From::x};
}

/// running = (1 - momentum) running + step batch.
void move_running(Tensor& running, const Tensor& batch, double momentum, double step) {
  scale(running, running, 1 - momentum);
  axpy(running, step, batch.reshape(running.shape()));
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                    RunningStatistics running, double momentum, double eps,
                    const AfterNorm& after) {
  check_norm_input("batch_norm", x.value());
  check_after("batch_norm", x, after);
  const std::int64_t C = x.shape()[x.shape().rank() - 1], rows = x.shape().numel() / C;
  LIMBECK_CHECK(rows >= 2, "batch_norm: x has shape ", x.shape(),
                "; expected two rows or more, of one there is no variance");
  const Normalised own = with_own_statistics(x, 1, C, eps);
  if (running.mean.defined()) {
    check_statistics("batch_norm", "running mean", running.mean, {C}, x.value());
    check_statistics("batch_norm", "running variance", running.variance, {C}, x.value());
    const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
    move_running(running.mean, own.norm.mean, momentum, momentum);
    move_running(running.variance, own.norm.variance, momentum, momentum * unbiased);
  }
  return normalise("batch_norm", x, own, weight, bias, after);
}

Variable frozen_batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                           const RunningStatistics& statistics, double eps,
                           const AfterNorm& after) {
  const Tensor& xv = x.value();
  check_norm_input("frozen_batch_norm", xv);
  check_after("frozen_batch_norm", x, after);
  const std::int64_t C = xv.dim(xv.rank() - 1);
  check_statistics("frozen_batch_norm", "mean", statistics.mean, {C}, xv);
  check_statistics("frozen_batch_norm", "variance", statistics.variance, {C}, xv);
  if (xv.numel() == 0) return x;
  Tensor mean = statistics.mean, variance = statistics.variance;
  if (records(
          std::vector<Variable>{x, weight, bias, after.skip})) {  // they may move before backward
    mean = mean.clone();
    variance = variance.clone();
  }
  const ChannelNorm norm = {
      .mean = mean.reshape({1, C}), .variance = variance.reshape({1, C}), .eps = eps};
  return normalise("frozen_batch_norm", x,
                   {xv.reshape({1, xv.numel() / C, C}), norm, From::elsewhere}, weight, bias,
                   after);
}

Variable group_norm(const Variable& x, std::int64_t groups, const Variable& weight,
                    const Variable& bias, double eps, const AfterNorm& after) {
  check_norm_input("group_norm", x.value());
  check_after("group_norm", x, after);
  const std::int64_t C = x.shape()[x.shape().rank() - 1];
  LIMBECK_CHECK(groups >= 1 && C % groups == 0, "group_norm: ", groups, " groups of ", C,
                " channels; expected a divisor");
  return normalise("group_norm", x, with_own_statistics(x, x.shape()[0], groups, eps), weight, bias,
                   after);
}

}  // namespace limbeck

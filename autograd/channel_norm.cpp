// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/channel_norm.h>

#include <limbeck/kernels/channel_norm.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/norm_checks.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

enum class From { x, elsewhere };  // where the statistics come from, and so whether they vary

/// x as (N,R,C), normalised with statistics (N,G).
struct ChannelNorm {
  Tensor x, weight, mean, variance;
  double eps;
  From from;

  void backward(const Tensor& dout, std::span<InputGrad> inputs) const {
    const Tensor dy = dout.reshape(x.shape());
    Tensor sum_dy, sum_dyn;
    const bool varies = inputs[0].needed() && from == From::x;
    if (varies || inputs[1].needed() || inputs[2].needed()) {
      sum_dy = Tensor::empty({x.dim(0), x.dim(2)}, mean.dtype(), x.device());
      sum_dyn = Tensor::empty_like(sum_dy);
      channel_norm_sums(sum_dy, sum_dyn, dy, x, mean, variance, eps);
    }
    inputs[1].accumulate([&](Tensor& dw, Out out) { sum_rows(dw, sum_dyn, out); });
    inputs[2].accumulate([&](Tensor& db, Out out) { sum_rows(db, sum_dy, out); });
    if (!inputs[0].needed()) return;
    Tensor dx = dy;  // the sums have read it
    channel_norm_backward(dx, dy, x, mean, variance, weight, varies ? sum_dy : Tensor(),
                          varies ? sum_dyn : Tensor(), eps);
    inputs[0].give(dx.reshape(dout.shape()));
  }
};

Tensor value_or_none(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

Variable normalise(const char* op, const Variable& x, const Variable& weight, const Variable& bias,
                   const ChannelNorm& norm) {
  Tensor y = Tensor::empty_like(norm.x);
  channel_norm_forward(y, norm.x, norm.mean, norm.variance, norm.weight, value_or_none(bias),
                       norm.eps);
  return record(
      op, y.reshape(x.shape()), {x, weight, bias},
      [norm](const Tensor& dy, std::span<InputGrad> inputs) { norm.backward(dy, inputs); });
}

/// x with statistics of its own for each of N samples' G groups.
ChannelNorm with_own_statistics(const Variable& x, std::int64_t N, std::int64_t G,
                                const Variable& weight, double eps) {
  const Tensor& xv = x.value();
  const std::int64_t C = xv.dim(xv.rank() - 1);
  const Tensor cells = xv.reshape({N, N == 0 ? 1 : xv.numel() / N / C, C});
  Tensor mean = Tensor::empty({N, G}, statistics_dtype(xv.dtype()), xv.device());
  Tensor variance = Tensor::empty_like(mean);
  channel_statistics(mean, variance, cells);
  return {cells, value_or_none(weight), mean, variance, eps, From::x};
}

/// running = (1 - momentum) running + step batch.
void move_running(Tensor& running, const Tensor& batch, double momentum, double step) {
  scale(running, running, 1 - momentum);
  axpy(running, step, batch.reshape(running.shape()));
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                    RunningStatistics running, double momentum, double eps) {
  check_norm_input("batch_norm", x.value());
  const std::int64_t C = x.shape()[x.shape().rank() - 1], rows = x.shape().numel() / C;
  LIMBECK_CHECK(rows >= 2, "batch_norm: x has shape ", x.shape(),
                "; expected two rows or more, of one there is no variance");
  const ChannelNorm norm = with_own_statistics(x, 1, C, weight, eps);
  if (running.mean.defined()) {
    check_statistics("batch_norm", "running mean", running.mean, {C}, x.value());
    check_statistics("batch_norm", "running variance", running.variance, {C}, x.value());
    const double unbiased = static_cast<double>(rows) / static_cast<double>(rows - 1);
    move_running(running.mean, norm.mean, momentum, momentum);
    move_running(running.variance, norm.variance, momentum, momentum * unbiased);
  }
  return normalise("batch_norm", x, weight, bias, norm);
}

Variable frozen_batch_norm(const Variable& x, const Variable& weight, const Variable& bias,
                           const RunningStatistics& statistics, double eps) {
  const Tensor& xv = x.value();
  check_norm_input("frozen_batch_norm", xv);
  const std::int64_t C = xv.dim(xv.rank() - 1);
  check_statistics("frozen_batch_norm", "mean", statistics.mean, {C}, xv);
  check_statistics("frozen_batch_norm", "variance", statistics.variance, {C}, xv);
  if (xv.numel() == 0) return x;
  Tensor mean = statistics.mean, variance = statistics.variance;
  if (records(std::vector<Variable>{x, weight, bias})) {  // they may move before backward
    mean = mean.clone();
    variance = variance.clone();
  }
  return normalise("frozen_batch_norm", x, weight, bias,
                   {xv.reshape({1, xv.numel() / C, C}), value_or_none(weight), mean.reshape({1, C}),
                    variance.reshape({1, C}), eps, From::elsewhere});
}

Variable group_norm(const Variable& x, std::int64_t groups, const Variable& weight,
                    const Variable& bias, double eps) {
  check_norm_input("group_norm", x.value());
  const std::int64_t C = x.shape()[x.shape().rank() - 1];
  LIMBECK_CHECK(groups >= 1 && C % groups == 0, "group_norm: ", groups, " groups of ", C,
                " channels; expected a divisor");
  return normalise("group_norm", x, weight, bias,
                   with_own_statistics(x, x.shape()[0], groups, weight, eps));
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/recurrent.h>

#include <limbeck/kernels/matmul.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

constexpr std::size_t kInputs = 5;  // of a direction

Tensor value_of(const Variable& v) { return v.defined() ? v.value() : Tensor(); }

// dW_hh = du^T states and db_hh = the sum of du, over all steps at once.
void backward_direction(const Tensor& dy, std::span<InputGrad> inputs, const RecurrentSaved& saved,
                        const Tensor& w_hh, const Tensor& lengths,
                        const RecurrentOptions& options) {
  const Tensor& states = saved.states;
  const std::int64_t N = states.dim(0), T = states.dim(1), H = states.dim(2), width = w_hh.dim(0);
  RecurrentGradients g;
  g.dp = Tensor::empty({N, T, width}, dy.dtype(), dy.device());
  g.du = options.cell == RecurrentCell::gru ? Tensor::empty_like(g.dp) : g.dp;
  g.dh0 = Tensor::empty({N, H}, dy.dtype(), dy.device());
  if (options.cell == RecurrentCell::lstm) g.dc0 = Tensor::empty_like(g.dh0);
  recurrent_backward(g, dy, saved, w_hh, lengths, options);
  const Tensor du = g.du.reshape({N * T, width}), before = states.reshape({N * T, H});
  inputs[1].accumulate(
      [&](Tensor& dw, Out out) { matmul(dw, du, Trans::yes, before, Trans::no, out); });
  inputs[2].accumulate([&](Tensor& db, Out out) { sum_rows(db, du, out); });
  inputs[0].give(g.dp);  // last: du may be the same memory
  inputs[3].give(g.dh0);
  if (g.dc0.defined()) inputs[4].give(g.dc0);
}

}  // namespace

RecurrentResult recurrent(std::span<const RecurrentDirection> directions, RecurrentCell cell,
                          const Tensor& lengths) {
  LIMBECK_CHECK(directions.size() == 1 || directions.size() == 2, "recurrent: ", directions.size(),
                " directions; expected 1 or 2");
  std::vector<Variable> inputs;
  for (const RecurrentDirection& d : directions)
    inputs.insert(inputs.end(), {d.p, d.w_hh, d.b_hh, d.h0, d.c0});
  const bool saves = records(inputs);
  const Tensor &p = directions[0].p.value(), &w = directions[0].w_hh.value();
  LIMBECK_CHECK(p.rank() == 3 && w.rank() == 2, "recurrent: p has shape ", p.shape(), ", w_hh ",
                w.shape(), "; expected (N,T,G*H) and (G*H,H)");
  const std::int64_t H = w.dim(1), D = static_cast<std::int64_t>(directions.size());
  Tensor y = Tensor::empty({p.dim(0), p.dim(1), D * H}, p.dtype(), p.device());
  RecurrentResult result;
  std::vector<RecurrentSaved> saved(directions.size());
  std::vector<Tensor> weights;
  const auto options_of = [cell, H](std::size_t d) {
    return RecurrentOptions{cell, d == 1, static_cast<std::int64_t>(d) * H};
  };
  for (std::size_t i = 0; i < directions.size(); ++i) {
    const RecurrentDirection& d = directions[i];
    Tensor h_n = Tensor::empty({p.dim(0), H}, p.dtype(), p.device()), c_n;
    if (cell == RecurrentCell::lstm) c_n = Tensor::empty_like(h_n);
    if (saves) saved[i] = empty_recurrent_saved(d.p.value(), cell);
    recurrent_forward(
        y, h_n, c_n, saves ? &saved[i] : nullptr,
        {d.p.value(), d.w_hh.value(), value_of(d.b_hh), value_of(d.h0), value_of(d.c0), lengths},
        options_of(i));
    weights.push_back(d.w_hh.value());
    result.h_n.push_back(h_n);
    if (c_n.defined()) result.c_n.push_back(c_n);
  }
  result.y =
      record("recurrent", y, std::move(inputs),
             [saved, weights, lengths, options_of](const Tensor& dy, std::span<InputGrad> grads) {
               for (std::size_t i = 0; i < weights.size(); ++i)
                 backward_direction(dy, grads.subspan(i * kInputs, kInputs), saved[i], weights[i],
                                    lengths, options_of(i));
             });
  return result;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/grad_check.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <limbeck/core/philox.h>

namespace limbeck {
namespace {

using Function = std::function<Variable(std::span<const Variable>)>;

Tensor weights_like(const Tensor& y) {
  Tensor w = Tensor::empty_like(y);
  for (std::int64_t i = 0; i < y.numel(); ++i)
    w.data<double>()[i] = 0.5 + uniform_from_word(philox_word({}, static_cast<std::uint64_t>(i)));
  return w;
}

double weighted(const Function& f, std::span<const Variable> inputs) {
  const NoGrad no_grad;
  const Tensor y = f(inputs).value();
  const Tensor w = weights_like(y);
  double total = 0;
  for (std::int64_t i = 0; i < y.numel(); ++i) total += w.data<double>()[i] * y.data<double>()[i];
  return total;
}

std::vector<double> central_differences(const Function& f, std::span<const Variable> inputs,
                                        Tensor x, double h) {
  std::vector<double> slopes;
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    double& element = x.data<double>()[i];
    const double kept = element;
    element = kept + h;
    const double above = weighted(f, inputs);
    element = kept - h;
    const double below = weighted(f, inputs);
    element = kept;
    slopes.push_back((above - below) / (2 * h));
  }
  return slopes;
}

void compare(GradCheckResult& result, std::size_t input, const std::vector<double>& tape,
             const std::vector<double>& slopes) {
  double scale = 0;
  for (const double slope : slopes) scale = std::max(scale, std::abs(slope));
  if (scale == 0) scale = 1;
  for (std::size_t i = 0; i < slopes.size(); ++i) {
    double error = std::abs(tape[i] - slopes[i]) / scale;
    if (std::isnan(error)) error = std::numeric_limits<double>::infinity();
    if (error <= result.error) continue;
    result.error = error;
    result.where = detail::concat("input ", input, " element ", i, ": tape ", tape[i],
                                  ", difference ", slopes[i]);
  }
}

}  // namespace

GradCheckResult grad_check(const Function& f, const std::vector<Tensor>& inputs, double h) {
  std::vector<Variable> leaves;
  for (const Tensor& x : inputs) {
    LIMBECK_CHECK(x.dtype() == DType::f64 && !x.device().is_cuda(), "grad_check: input is ",
                  x.dtype(), " on ", x.device(), "; expected f64 on cpu");
    leaves.emplace_back(x, true);
  }
  const Variable y = f(leaves);
  y.backward(weights_like(y.value()));
  GradCheckResult result;
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    const Tensor grad = leaves[k].grad();
    const std::vector<double> tape = grad.defined()
                                         ? grad.to_vector<double>()
                                         : Tensor::zeros_like(inputs[k]).to_vector<double>();
    compare(result, k, tape, central_differences(f, leaves, inputs[k], h));
  }
  return result;
}

}  // namespace limbeck

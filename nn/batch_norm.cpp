// SPDX-License-Identifier: Apache-2.0
#include <limbeck/nn/batch_norm.h>

namespace limbeck {

BatchNorm::BatchNorm(std::int64_t channels, const BatchNormOptions& options, DType dtype,
                     Device device)
    : channels_(channels), options_(options) {
  LIMBECK_CHECK(channels >= 1, "BatchNorm: ", channels, " channels; expected >= 1");
  LIMBECK_CHECK(options.momentum >= 0 && options.momentum <= 1, "BatchNorm: momentum is ",
                options.momentum, "; expected 0 to 1");
  if (options.affine) {
    weight_ = Variable(Tensor::full({channels}, 1, dtype, device), true);
    bias_ = Variable(Tensor::zeros({channels}, dtype, device), true);
  }
  const DType kept = dtype == DType::f64 ? DType::f64 : DType::f32;
  running_ = {Tensor::zeros({channels}, kept, device), Tensor::full({channels}, 1, kept, device)};
  batches_ = Tensor::zeros({}, DType::i64);
}

Variable BatchNorm::forward(const Variable& x, Context& context) {
  return normalise(x, context, {});
}

Variable BatchNorm::forward_relu(const Variable& x, Context& context, const Variable& skip) {
  return normalise(x, context, {.relu = true, .skip = skip});
}

Variable BatchNorm::normalise(const Variable& x, Context& context, const AfterNorm& after) {
  output_shape(x.shape());
  const bool moves = context.statistics == Statistics::follow && context.training;
  if (!moves && context.statistics != Statistics::batch)
    return frozen_batch_norm(x, weight_, bias_, running_, options_.eps, after);
  const Variable y = batch_norm(x, weight_, bias_, moves ? running_ : RunningStatistics{},
                                options_.momentum, options_.eps, after);
  if (moves) ++*batches_.data<std::int64_t>();
  return y;
}

Shape BatchNorm::output_shape(const Shape& input) const {
  LIMBECK_CHECK(input.rank() >= 2 && input[input.rank() - 1] == channels_, describe(),
                ": input has shape ", input, "; expected (...,", channels_, ")");
  return input;
}

std::vector<NamedParameter> BatchNorm::parameters() {
  if (!weight_.defined()) return {};
  return {{"weight", weight_, Layout::plain, {}, false, InitKind::ones},
          {"bias", bias_, Layout::plain, {}, false, InitKind::zeros}};
}

std::vector<NamedBuffer> BatchNorm::buffers() {
  return {{"running_mean", running_.mean},
          {"running_var", running_.variance},
          {"num_batches_tracked", batches_}};
}

std::string BatchNorm::describe() const { return detail::concat("BatchNorm(", channels_, ")"); }

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/tensor_sketch_code.h>

#include <algorithm>

#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/distill/encode_and_compare.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/kernels/channel_norm.h>
#include <limbeck/kernels/elementwise.h>

namespace limbeck {
namespace {

constexpr const char* kName = "tensor_sketch_code";
constexpr double kEps = 1e-5;

enum Layer : std::uint32_t { kSource, kReceiver };  // tell the two sketches of one seed apart

std::int64_t code_width(const Shape& source, std::int64_t K) {
  return K == 0 ? std::min<std::int64_t>(10 * tap_channels(source), 256) : K;
}

TensorSketchPlan plan(const Shape& tap, std::int64_t K, const TensorSketchCodeOptions& options,
                      Layer layer, Device device) {
  const std::int64_t C = tap_channels(tap);
  const double gamma = options.gamma == 0 ? 1 / static_cast<double>(C) : options.gamma;
  return tensor_sketch_plan(C, K,
                            {.degree = options.degree,
                             .gamma = gamma,
                             .c = options.constant,
                             .seed = options.seed,
                             .layer = layer},
                            device);
}

}  // namespace

TensorSketchCode::TensorSketchCode(const Shape& receiver, const Shape& source,
                                   const TensorSketchCodeOptions& options, DType dtype,
                                   Device device)
    : receiver_(receiver),
      source_(source),
      grid_(common_grid(receiver, source)),
      K_(code_width(source, options.K)),
      degree_(options.degree),
      source_plan_(plan(source, K_, options, kSource, device)),
      receiver_plan_(plan(receiver, K_, options, kReceiver, device)),
      adapter_(make_adapter(options.adapter, tap_channels(receiver) + K_, K_, options.seed, dtype,
                            device)),
      standardise_(kName, options.mean, options.variance, tap_channels(source), dtype, device) {}

Tensor TensorSketchCode::encode(const Tensor& source) const {
  check_tap(kName, "source", source, source_);
  const Tensor rows = standardise_(tap_rows(source, grid_));
  Tensor code = Tensor::empty({rows.dim(0), K_}, rows.dtype(), rows.device());
  tensor_sketch_forward(code, rows, source_plan_);
  return code.reshape({source.dim(0), grid_.positions(), K_});
}

Variable TensorSketchCode::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap(kName, "receiver", receiver.value(), receiver_);
  check_code(kName, code, code_shape(), receiver.value());
  const Variable rows = tap_rows(receiver, grid_);
  Context context;
  const Variable predicted =
      adapter_->forward(concat({rows, tensor_sketch(rows, receiver_plan_)}, -1), context);
  return encode_and_compare(
      predicted, code.reshape(predicted.shape()),
      {.K = K_, .mean_over = mean_over * static_cast<double>(grid_.positions())});
}

std::string TensorSketchCode::describe() const {
  return detail::concat(kName, "(degree ", degree_, ", ", tap_channels(source_), " -> ", K_, ")");
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/hint.h>

#include <limbeck/distill/feature_checks.h>
#include <limbeck/distill/gram_compare.h>

namespace limbeck {

Hint::Hint(const Shape& receiver, const Shape& source, const HintOptions& options, DType dtype,
           Device device)
    : receiver_(receiver),
      source_(source),
      grid_(common_grid(receiver, source)),
      standardise_("hint", options.mean, options.variance, tap_channels(source), dtype, device) {
  const std::int64_t in = tap_channels(receiver), out = tap_channels(source);
  LIMBECK_CHECK(options.adapter || in == out, "hint: taps are ", receiver, " and ", source,
                ", without an adapter; expected as many channels");
  if (options.adapter)
    adapter_ = make_adapter(*options.adapter, in, out, options.seed, dtype, device);
}

Tensor Hint::encode(const Tensor& source) const {
  check_tap("hint", "source", source, source_);
  return standardise_(tap_rows(source, grid_))
      .reshape({source.dim(0), grid_.positions(), tap_channels(source_)});
}

Variable Hint::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap("hint", "receiver", receiver.value(), receiver_);
  check_code("hint", code, code_shape(), receiver.value());
  Context context;
  const Variable rows = tap_rows(receiver, grid_);
  const Variable predicted = adapter_ ? adapter_->forward(rows, context) : rows;
  return gram_compare(predicted, code.reshape(predicted.shape()),
                      {.mean_over = mean_over * static_cast<double>(grid_.positions())});
}

std::vector<NamedParameter> Hint::parameters() {
  return adapter_ ? adapter_parameters(*adapter_) : std::vector<NamedParameter>{};
}

std::string Hint::describe() const {
  return detail::concat("hint(", tap_channels(receiver_), " -> ", tap_channels(source_), ", ",
                        adapter_ ? adapter_->describe() : "no adapter", ")");
}

}  // namespace limbeck

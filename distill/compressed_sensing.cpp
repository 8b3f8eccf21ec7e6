// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/compressed_sensing.h>

#include <algorithm>
#include <cmath>

#include <limbeck/distill/encode_and_compare.h>
#include <limbeck/kernels/channel_norm.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

constexpr double kEps = 1e-5;

std::int64_t code_width(const Shape& receiver, const Shape& source, std::int64_t K) {
  if (K == 0) {
    K = std::min(tap_channels(receiver), tap_channels(source) / 2);
    K = std::clamp<std::int64_t>(K > 64 ? K / 64 * 64 : K, 1, kMaxCode);
  }
  LIMBECK_CHECK(K >= 1 && K <= kMaxCode, "compressed_sensing: K is ", K, "; expected 1 to ",
                kMaxCode);
  return K;
}

void check_batch(const char* what, const Tensor& taps, const Shape& tap, DType dtype) {
  LIMBECK_CHECK(taps.defined(), "compressed_sensing: ", what, " is undefined");
  const bool right = taps.rank() == tap.rank() + 1 && taps.dtype() == dtype &&
                     std::equal(tap.begin(), tap.end(), taps.shape().begin() + 1);
  LIMBECK_CHECK(right, "compressed_sensing: ", what, " is ", taps.dtype(), taps.shape(),
                "; expected ", dtype, ", any number of ", tap);
}

}  // namespace

CompressedSensing::CompressedSensing(const Shape& receiver, const Shape& source,
                                     const CompressedSensingOptions& options, DType dtype,
                                     Device device)
    : receiver_(receiver),
      source_(source),
      grid_(common_grid(receiver, source)),
      dtype_(dtype),
      device_(device),
      matrix_(options.matrix.value_or(default_measurement(tap_channels(source))),
              code_width(receiver, source, options.K), tap_channels(source), options.seed, 0, dtype,
              device),
      adapter_(make_adapter(options.adapter, tap_channels(receiver), matrix_.K(), options.seed,
                            dtype, device)),
      standardise_("compressed_sensing", options.mean, options.variance, tap_channels(source),
                   dtype, device) {}

Shape CompressedSensing::code_shape() const { return {grid_.positions(), matrix_.K()}; }

Tensor CompressedSensing::encode(const Tensor& source) const {
  check_batch("source", source, source_, dtype_);
  return matrix_.apply(standardise_(tap_rows(source, grid_)))
      .reshape({source.dim(0), grid_.positions(), matrix_.K()});
}

Variable CompressedSensing::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_batch("receiver", receiver.value(), receiver_, dtype_);
  check_batch("code", code, code_shape(), dtype_);
  const std::int64_t N = receiver.shape()[0], P = grid_.positions(), K = matrix_.K();
  LIMBECK_CHECK(code.dim(0) == N, "compressed_sensing: code has shape ", code.shape(),
                ", receiver ", receiver.shape(), "; expected equally many samples");
  LIMBECK_CHECK(mean_over > 0, "compressed_sensing: mean_over is ", mean_over, "; expected > 0");
  Context context;
  const Variable predicted = adapter_->forward(tap_rows(receiver, grid_), context);
  return encode_and_compare(predicted, code.reshape({N * P, K}),
                            {.K = K, .mean_over = mean_over * static_cast<double>(P)});
}

std::vector<NamedParameter> CompressedSensing::parameters() {
  return adapter_parameters(*adapter_);
}

std::string CompressedSensing::describe() const {
  return detail::concat("compressed_sensing(", measurement_name(matrix_.kind()), " ", matrix_.D(),
                        " -> ", matrix_.K(), ")");
}

// 1 / sqrt(variance + eps) of every channel.
Tensor CompressedSensing::inverse_deviation() const {
  Tensor inverse = standardise_.variance().to(Device::cpu()).to(DType::f64).clone();
  for (std::int64_t c = 0; c < inverse.numel(); ++c)
    inverse.data<double>()[c] = 1 / std::sqrt(inverse.data<double>()[c] + Standardise::kEps);
  return inverse;
}

Tensor CompressedSensing::measurement() const {
  Tensor phi = matrix_.dense();
  if (!standardise_.defined()) return phi;
  const Tensor inverse = inverse_deviation();
  for (std::int64_t k = 0; k < matrix_.K(); ++k) {
    Tensor row = phi.rows(k, k + 1);
    mul(row, row, inverse);
  }
  return phi;
}

Tensor CompressedSensing::rows(const Tensor& codes) const {
  check_batch("code", codes, code_shape(), dtype_);
  const std::int64_t K = matrix_.K();
  Tensor y = codes.to(Device::cpu()).to(DType::f64).clone().reshape({codes.numel() / K, K});
  if (!standardise_.defined()) return y;
  Tensor offset = Tensor::empty({1, K}, DType::f64);
  matmul(offset, standardise_.mean().to(Device::cpu()).to(DType::f64), Trans::no, measurement(),
         Trans::yes);
  add_bias(y, offset.reshape({K}));
  return y;
}

}  // namespace limbeck

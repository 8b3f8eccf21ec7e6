// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/kernel_mmd.h>

#include <algorithm>
#include <cmath>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/autograd/projection.h>
#include <limbeck/distill/feature_checks.h>
#include <limbeck/kernels/elementwise.h>

namespace limbeck {
namespace {

constexpr const char* kOp = "kernel_mmd";

/// The mean over rows (N,K), as (1,K).
Variable row_mean(const Variable& rows) {
  const std::int64_t N = rows.shape()[0];
  const Tensor share =
      Tensor::full({1, N}, 1 / static_cast<double>(N), rows.value().dtype(), rows.value().device());
  return matmul(Variable(share), Trans::no, rows, Trans::no);
}

double median(std::vector<double>& x) {
  const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
  std::nth_element(x.begin(), middle, x.end());
  return *middle > 0 ? *middle : 1;
}

}  // namespace

Variable kernel_mmd(const Variable& s, const Tensor& t, const KernelMmdOptions& options) {
  const Tensor& rows = s.value();
  Tensor loss =
      Tensor::empty({1}, rows.dtype() == DType::f64 ? DType::f64 : DType::f32, rows.device());
  Tensor ds = records({&s, 1}) ? Tensor::empty_like(rows) : Tensor();
  kernel_mmd_forward_with_grad(loss, ds, rows, t, options);
  return record("kernel_mmd", loss, {s}, [ds](const Tensor& dloss, std::span<InputGrad> inputs) {
    Tensor dx = ds;
    scale_by(dx, dx, dloss);
    inputs[0].give(dx);
  });
}

Variable fourier_mmd(const Variable& s, const Tensor& t, const Tensor& frequencies) {
  const DenseProjection projection{frequencies, ProjectionEpilogue::cos_sin};
  const Variable apart = sub(row_mean(dense_projection(s, projection)),
                             row_mean(dense_projection(Variable(t), projection)));
  return sum(mul(apart, apart));
}

MedianDistances median_distances(const Tensor& x, std::int64_t rows) {
  LIMBECK_CHECK(x.rank() == 2, "median_distances: x has shape ", x.shape(), "; expected (M,D)");
  const std::int64_t M = std::min(x.dim(0), rows), D = x.dim(1);
  if (M < 2) return {};
  const std::vector<double> v = x.rows(0, M).to(Device::cpu()).to(DType::f64).to_vector<double>();
  std::vector<double> euclidean, sizes;
  for (std::int64_t i = 0; i < M; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      const double *a = v.data() + i * D, *b = v.data() + j * D;
      double square = 0, size = 0;
      for (std::int64_t d = 0; d < D; ++d) {
        square += (a[d] - b[d]) * (a[d] - b[d]);
        size += std::abs(a[d] - b[d]);
      }
      euclidean.push_back(std::sqrt(square));
      sizes.push_back(size);
    }
  return {median(euclidean), median(sizes)};
}

KernelMmd::KernelMmd(const Shape& receiver, const Shape& source,
                     const KernelMmdLossOptions& options, DType dtype, Device device)
    : receiver_(receiver),
      source_(source),
      grid_(options.every_position ? common_grid(receiver, source) : TapGrid{}),
      options_(options),
      standardise_(kOp, options.mean, options.variance, tap_channels(source), dtype, device) {
  const std::int64_t in = tap_channels(receiver), C = tap_channels(source);
  LIMBECK_CHECK(options.sigma_rbf >= 0 && options.sigma_laplace >= 0, kOp, ": sigmas are ",
                options.sigma_rbf, " and ", options.sigma_laplace, "; expected >= 0");
  if (in != C) adapter_ = make_adapter(options.adapter, in, C, options.seed, dtype, device);
  if (options.frequencies == 0) return;
  LIMBECK_CHECK(options.frequencies > 0 && options.sigma_rbf > 0, kOp, ": ", options.frequencies,
                " frequencies of sigma_rbf ", options.sigma_rbf, "; expected both > 0");
  frequencies_ = gaussian_frequencies(options.seed, 0, {options.frequencies, C}, options.sigma_rbf,
                                      dtype, device);
}

Shape KernelMmd::code_shape() const { return {grid_.positions(), tap_channels(source_)}; }

Tensor KernelMmd::encode(const Tensor& source) const {
  check_tap(kOp, "source", source, source_);
  return standardise_(tap_rows(source, grid_))
      .reshape({source.dim(0), grid_.positions(), tap_channels(source_)});
}

Variable KernelMmd::loss(const Variable& receiver, const Tensor& code, double mean_over) {
  check_tap(kOp, "receiver", receiver.value(), receiver_);
  check_code(kOp, code, code_shape(), receiver.value());
  check_whole_batch(kOp, receiver.value(), mean_over);
  Variable s = tap_rows(receiver, grid_);
  Context context;
  if (adapter_) s = adapter_->forward(s, context);
  const Tensor t = code.reshape({code.dim(0) * grid_.positions(), tap_channels(source_)});
  KernelMmdOptions kernels{options_.sigma_rbf, options_.sigma_laplace, options_.rbf_weight,
                           options_.laplace_weight};
  const bool fourier = frequencies_.defined();
  if (fourier) kernels.rbf_weight = 0;
  if ((kernels.rbf_weight > 0 && kernels.sigma_rbf == 0) ||
      (kernels.laplace_weight > 0 && kernels.sigma_laplace == 0)) {
    const MedianDistances median = median_distances(t);
    if (kernels.sigma_rbf == 0) kernels.sigma_rbf = median.euclidean;
    if (kernels.sigma_laplace == 0) kernels.sigma_laplace = median.sum_of_sizes;
  }
  const Variable exact = kernel_mmd(s, t, kernels);
  return fourier ? add(scale(fourier_mmd(s, t, frequencies_), options_.rbf_weight), exact) : exact;
}

std::vector<NamedParameter> KernelMmd::parameters() {
  if (adapter_) return adapter_parameters(*adapter_);
  return {};
}

std::string KernelMmd::describe() const {
  const std::string gauss = frequencies_.defined()
                                ? detail::concat(options_.frequencies, " frequencies")
                                : std::string("exact");
  return detail::concat("kernel_mmd(", gauss, ", ", tap_channels(receiver_), " -> ",
                        tap_channels(source_), ")");
}

}  // namespace limbeck

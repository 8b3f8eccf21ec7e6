// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/feature_gram.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck {
namespace {

/// Columns turned into doubles at a time, so that wide layers need no second copy.
constexpr std::int64_t kPieceWidth = 4096;

/// On the CPU, f32 or f64, one row per sample.
Tensor host_rows(const char* who, const Tensor& features) {
  LIMBECK_CHECK(features.rank() >= 1 && features.numel() > 0 && features.dim(0) >= 2 &&
                    is_floating(features.dtype()),
                who, ": features are ", features.dtype(), " ", features.shape(),
                "; expected floating (n,...) with n >= 2");
  const Tensor host = features.to(Device::cpu());
  const std::int64_t n = host.dim(0);
  return (dtype_size(host.dtype()) < 4 ? host.to(DType::f32) : host).reshape({n, host.numel() / n});
}

/// Columns [first, first + width) of x less their means.
template <class T>
void copy_centred(Tensor& piece, const Tensor& x, std::int64_t first) {
  const std::int64_t n = x.dim(0), d = x.dim(1), width = piece.dim(1);
  const T* from = x.data<T>() + first;
  double* to = piece.data<double>();
  std::vector<double> mean(static_cast<std::size_t>(width), 0.0);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < width; ++j) mean[static_cast<std::size_t>(j)] += from[i * d + j];
  for (double& m : mean) m /= static_cast<double>(n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < width; ++j)
      to[i * width + j] = from[i * d + j] - mean[static_cast<std::size_t>(j)];
}

/// Squared distances of samples from their Gram matrix, not below 0.
double squared_distance(const double* k, std::int64_t n, std::int64_t i, std::int64_t j) {
  return std::max(0.0, k[i * n + i] + k[j * n + j] - 2 * k[i * n + j]);
}

double median_distance(const double* k, std::int64_t n) {
  std::vector<double> distances;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      distances.push_back(std::sqrt(squared_distance(k, n, i, j)));
  std::sort(distances.begin(), distances.end());
  const std::size_t half = distances.size() / 2;
  return distances.size() % 2 == 1 ? distances[half] : (distances[half - 1] + distances[half]) / 2;
}

}  // namespace

Tensor linear_gram(const Tensor& features) {
  const Tensor x = host_rows("linear_gram", features);
  const std::int64_t n = x.dim(0), d = x.dim(1);
  Tensor gram = Tensor::zeros({n, n}, DType::f64);
  for (std::int64_t first = 0; first < d; first += kPieceWidth) {
    Tensor piece = Tensor::empty({n, std::min(kPieceWidth, d - first)}, DType::f64);
    if (x.dtype() == DType::f64)
      copy_centred<double>(piece, x, first);
    else
      copy_centred<float>(piece, x, first);
    matmul(gram, piece, Trans::no, piece, Trans::yes, Out::add);
  }
  return gram;
}

Tensor rbf_gram(const Tensor& features, double scale) {
  LIMBECK_CHECK(scale > 0, "rbf_gram: scale is ", scale, "; expected above 0");
  const Tensor linear = linear_gram(features);
  const std::int64_t n = linear.dim(0);
  const double* k = linear.data<double>();
  const double sigma = scale * median_distance(k, n);
  Tensor gram = Tensor::empty({n, n}, DType::f64);
  double* out = gram.data<double>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const double square = i == j ? 0 : squared_distance(k, n, i, j);
      out[i * n + j] = square == 0 ? 1 : std::exp(-square / (2 * sigma * sigma));
    }
  return gram;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/bench/random_tensor.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/parallel.h>
#include <limbeck/core/philox.h>

namespace limbeck {
namespace {

constexpr std::uint64_t kSeed = 20240229;
constexpr std::int64_t kMostValues = 1 << 24;

/// Element i of the draw-th random tensor.
float uniform(std::uint32_t draw, std::int64_t i) {
  const RngStream stream{kSeed, 0, draw, RngPurpose::data};
  return uniform_from_word(philox_word(stream, static_cast<std::uint64_t>(i)));
}

Tensor uniform_values(std::int64_t n, double scale, std::uint32_t draw) {
  Tensor values = Tensor::empty({n});
  float* v = values.data<float>();
  parallel_ranges(n, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      v[i] = static_cast<float>(scale) * (2 * uniform(draw, i) - 1);
  });
  return values;
}

double least_normal(DType dtype) { return dtype == DType::f16 ? 0x1p-14 : 0x1p-126; }

}  // namespace

Tensor random_tensor(const Shape& shape, double scale, DType dtype, Device device,
                     std::uint32_t draw) {
  const std::int64_t n = shape.numel(), distinct = std::min(n, kMostValues);
  const Tensor values = uniform_values(distinct, scale, draw).to(dtype).to(device);
  if (distinct == n) return values.reshape(shape);
  Tensor all = Tensor::empty({n}, dtype, device);
  for (std::int64_t begin = 0; begin < n; begin += distinct) {
    const std::int64_t count = std::min(distinct, n - begin);
    all.rows(begin, begin + count).copy_from(values.rows(0, count));
  }
  return all.reshape(shape);
}

Tensor random_index_tensor(const Shape& shape, std::int64_t below, Device device,
                           std::uint32_t draw) {
  Tensor values = Tensor::empty(shape, DType::i32);
  std::int32_t* v = values.data<std::int32_t>();
  for (std::int64_t i = 0; i < values.numel(); ++i)
    v[i] = static_cast<std::int32_t>(double{uniform(draw, i)} * static_cast<double>(below));
  return values.to(device);
}

bool starts_with_zeros_only(const Tensor& x) {
  const std::int64_t count = std::min<std::int64_t>(x.numel(), 1 << 16);
  const std::vector<double> values =
      x.reshape({x.numel()}).rows(0, count).to(Device::cpu()).to(DType::f64).to_vector<double>();
  return std::all_of(values.begin(), values.end(),
                     [&](double v) { return std::abs(v) < least_normal(x.dtype()); });
}

}  // namespace limbeck

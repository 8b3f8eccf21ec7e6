// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/measurement_matrix.h>

#include <algorithm>
#include <cmath>

#include <limbeck/autograd/projection.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/core/math.h>
#include <limbeck/core/parallel.h>

namespace limbeck {
namespace {

// Two normal numbers from two words.
void draw_normal(double* w, std::uint32_t first, std::uint32_t second, double deviation) {
  const float u = 1.0f - uniform_from_word(first);  // in (0,1]
  const float turn = uniform_from_word(second);
  const float radius = math::sqrt(-2.0f * math::log(u));
  w[0] = deviation * (radius * math::cos_2pi(turn));
  w[1] = deviation * (radius * math::sin_2pi(turn));
}

double draw_achlioptas(std::uint32_t word, double size) {
  const std::uint64_t sixth = std::uint64_t{word} * 6 >> 32;
  return sixth == 0 ? size : sixth == 1 ? -size : 0.0;
}

// (K,D) f64 on the CPU. draw(w, block) turns one Philox block into four elements.
template <class Draw>
Tensor draw_rows(std::int64_t K, std::int64_t D, const RngStream& stream, const Draw& draw) {
  Tensor w = Tensor::empty({K, D}, DType::f64);
  double* out = w.data<double>();
  parallel_ranges(K, 1 + 16384 / D, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      RngStream row = stream;
      row.step = static_cast<std::uint32_t>(k);
      for (std::int64_t d = 0; d < D; d += 4) {
        double four[4];
        draw(four, philox_block(row, static_cast<std::uint32_t>(d / 4)));
        std::copy_n(four, std::min<std::int64_t>(4, D - d), out + k * D + d);
      }
    }
  });
  return w;
}

Tensor draw_gaussian(std::int64_t K, std::int64_t D, std::uint64_t seed, std::uint32_t layer) {
  const double deviation = 1 / std::sqrt(static_cast<double>(K));
  return draw_rows(K, D, {seed, 0, layer, RngPurpose::random_features},
                   [=](double* w, const Philox4& words) {
                     draw_normal(w, words.x, words.y, deviation);
                     draw_normal(w + 2, words.z, words.w, deviation);
                   });
}

Tensor draw_achlioptas(std::int64_t K, std::int64_t D, std::uint64_t seed, std::uint32_t layer) {
  const double size = std::sqrt(3 / static_cast<double>(K));
  return draw_rows(K, D, {seed, 0, layer, RngPurpose::rademacher},
                   [=](double* w, const Philox4& words) {
                     w[0] = draw_achlioptas(words.x, size);
                     w[1] = draw_achlioptas(words.y, size);
                     w[2] = draw_achlioptas(words.z, size);
                     w[3] = draw_achlioptas(words.w, size);
                   });
}

// Rows [begin, end) of the identity of D columns.
Tensor unit_rows(std::int64_t begin, std::int64_t end, std::int64_t D) {
  Tensor rows = Tensor::zeros({end - begin, D}, DType::f64);
  for (std::int64_t d = begin; d < end; ++d) rows.data<double>()[(d - begin) * D + d] = 1;
  return rows;
}

}  // namespace

std::string_view measurement_name(MeasurementKind kind) {
  switch (kind) {
    case MeasurementKind::rademacher:
      return "rademacher";
    case MeasurementKind::gaussian:
      return "gaussian";
    case MeasurementKind::achlioptas:
      return "achlioptas";
    case MeasurementKind::count_sketch:
      return "count_sketch";
    case MeasurementKind::srht:
      return "srht";
  }
  return "";
}

MeasurementKind default_measurement(std::int64_t D) {
  return D > 4096 ? MeasurementKind::srht : MeasurementKind::rademacher;
}

MeasurementMatrix::MeasurementMatrix(MeasurementKind kind, std::int64_t K, std::int64_t D,
                                     std::uint64_t seed, std::uint32_t layer, DType dtype,
                                     Device device)
    : kind_(kind), K_(K), D_(D), seed_(seed), layer_(layer) {
  LIMBECK_CHECK(K >= 1 && D >= 1, "measurement: matrix has shape ", Shape{K, D},
                "; expected at least one row and column");
  switch (kind) {
    case MeasurementKind::rademacher:
      encoder_ = RademacherMatrix{seed, layer};
      break;
    case MeasurementKind::gaussian:
      encoder_ = DenseProjection{draw_gaussian(K, D, seed, layer).to(dtype).to(device)};
      break;
    case MeasurementKind::achlioptas:
      encoder_ = DenseProjection{draw_achlioptas(K, D, seed, layer).to(dtype).to(device)};
      break;
    case MeasurementKind::count_sketch:
      encoder_ = count_sketch_plan(D, K, {.seed = seed, .layer = layer}, device);
      break;
    case MeasurementKind::srht:
      encoder_ = make_srht_plan(seed, layer, D, K, device);
      break;
  }
}

Variable MeasurementMatrix::apply(const Variable& x) const {
  LIMBECK_CHECK(x.value().rank() == 2 && x.value().dim(1) == D_, "measurement: x has shape ",
                x.shape(), "; expected (N,", D_, ")");
  if (const auto* signs = std::get_if<RademacherMatrix>(&encoder_))
    return rademacher_projection(x, K_, *signs);
  if (const auto* stored = std::get_if<DenseProjection>(&encoder_))
    return dense_projection(x, *stored);
  if (const auto* sketch = std::get_if<CountSketchPlan>(&encoder_)) return count_sketch(x, *sketch);
  return srht(x, std::get<SrhtPlan>(encoder_));
}

Tensor MeasurementMatrix::apply(const Tensor& x) const {
  const NoGrad no_grad;
  return apply(Variable(x)).value();
}

Tensor MeasurementMatrix::dense() const {
  if (const auto* stored = std::get_if<DenseProjection>(&encoder_))
    return stored->w.to(Device::cpu()).to(DType::f64).clone();
  const MeasurementMatrix exact(kind_, K_, D_, seed_, layer_, DType::f64);
  Tensor phi = Tensor::empty({K_, D_}, DType::f64);
  const std::int64_t block = 256;  // columns at a time
  for (std::int64_t begin = 0; begin < D_; begin += block) {
    const std::int64_t end = std::min(begin + block, D_);
    const Tensor columns = exact.apply(unit_rows(begin, end, D_));
    for (std::int64_t d = begin; d < end; ++d)
      for (std::int64_t k = 0; k < K_; ++k)
        phi.data<double>()[k * D_ + d] = columns.data<double>()[(d - begin) * K_ + k];
  }
  return phi;
}

}  // namespace limbeck

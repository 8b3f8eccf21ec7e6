// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dense_projection.h>

#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using enum ProjectionEpilogue;
constexpr double kTwoPi = 6.283185307179586;
constexpr ProjectionEpilogue kAll[] = {none, standardise, cos_sin, square};

class DenseProjectionTest : public DeviceTest {
 protected:
  DType wide() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  Tensor make_wide(const std::vector<double>& values, const Shape& shape) const {
    return Tensor::from(values, shape).to(wide()).to(device());
  }
  DenseProjection projection(ProjectionEpilogue epilogue, std::int64_t K, std::int64_t D) const {
    DenseProjection p{make(random_values(K * D, 1, 3), {K, D}), epilogue};
    if (epilogue != standardise) return p;
    p.mean = make_wide(random_values(K, 1, 4), {K});
    p.inv_std = make_wide(random_values(K, 2, 5), {K});
    return p;
  }
  struct Result {
    Tensor y, z;
  };
  Result forward(const Tensor& x, const DenseProjection& p) const {
    const std::int64_t N = x.dim(0), K = p.w.dim(0);
    Result r{make_like({N, p.epilogue == cos_sin ? 2 * K : K}), Tensor()};
    r.z = make_wide(std::vector<double>(static_cast<std::size_t>(N * K), 777), {N, K});
    dense_projection_forward(r.y, &r.z, x, p);
    return r;
  }
  Tensor backward(const Tensor& dy, const Result& saved, const DenseProjection& p) const {
    Tensor dx = make_like({dy.dim(0), p.w.dim(1)});
    const Tensor kept = p.epilogue == cos_sin ? saved.y : p.epilogue == square ? saved.z : Tensor();
    dense_projection_backward(dx, dy, kept, p);
    return dx;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(DenseProjectionTest);

// z (N,K) = x w^T.
std::vector<double> product(const Tensor& x, const Tensor& w) {
  const auto xv = to_doubles(x), wv = to_doubles(w);
  const std::int64_t N = x.dim(0), D = x.dim(1), K = w.dim(0);
  std::vector<double> z(static_cast<std::size_t>(N * K));
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t k = 0; k < K; ++k)
      for (std::int64_t d = 0; d < D; ++d) z[n * K + k] += xv[n * D + d] * wv[k * D + d];
  return z;
}

// y of one row's z, and dz from its dy, by the definition.
struct Reference {
  const DenseProjection& p;
  std::vector<double> mean, inv_std;
  explicit Reference(const DenseProjection& projection) : p(projection) {
    if (p.epilogue != standardise) return;
    mean = to_doubles(p.mean);
    inv_std = to_doubles(p.inv_std);
  }
  std::vector<double> y(const std::vector<double>& z, std::int64_t K) const {
    std::vector<double> out;
    const double r = 1 / std::sqrt(static_cast<double>(K));
    for (std::size_t row = 0; row < z.size(); row += K)
      for (int part = 0; part < (p.epilogue == cos_sin ? 2 : 1); ++part)
        for (std::int64_t k = 0; k < K; ++k) {
          const double v = z[row + k];
          out.push_back(p.epilogue == none          ? v
                        : p.epilogue == standardise ? (v - mean[k]) * inv_std[k]
                        : p.epilogue == square      ? v * v
                        : part == 0                 ? r * std::cos(kTwoPi * v)
                                                    : r * std::sin(kTwoPi * v));
        }
    return out;
  }
  std::vector<double> dz(const std::vector<double>& z, const std::vector<double>& dy,
                         std::int64_t K) const {
    std::vector<double> out;
    const double r = 1 / std::sqrt(static_cast<double>(K));
    for (std::size_t i = 0; i < z.size(); ++i) {
      const std::size_t k = i % K, cosine = i / K * 2 * K + k;
      out.push_back(p.epilogue == none          ? dy[i]
                    : p.epilogue == standardise ? dy[i] * inv_std[k]
                    : p.epilogue == square      ? 2 * z[i] * dy[i]
                                                : kTwoPi * r *
                                                 (std::cos(kTwoPi * z[i]) * dy[cosine + K] -
                                                  std::sin(kTwoPi * z[i]) * dy[cosine]));
    }
    return out;
  }
};

TEST_P(DenseProjectionTest, HandNumbers) {
  // x = (1,2): z = (1, 1/4 + 1) = (1, 5/4).
  const Tensor x = make({1, 2}, {1, 2});
  DenseProjection p{make({1, 0, 0.25, 0.5}, {2, 2}), none};
  const auto y = [&](ProjectionEpilogue epilogue) {
    p.epilogue = epilogue;
    return forward(x, p).y;
  };
  const double r = std::sqrt(0.5);
  expect_close(y(none), {1, 1.25}, tolerance());
  expect_close(y(square), {1, 1.5625}, tolerance());
  expect_close(y(cos_sin), {r, 0, 0, r}, tolerance());
  p.mean = make_wide({0, 1}, {2});
  p.inv_std = make_wide({3, 2}, {2});
  expect_close(y(standardise), {3, 0.5}, tolerance());
  // dz = (1,1) * inv_std = (3,2); dx = 3 (1,0) + 2 (1/4,1/2).
  expect_close(backward(make({1, 1}, {1, 2}), {}, p), {3.5, 1}, tolerance());
}

TEST_P(DenseProjectionTest, MatchesDefinition) {
  // K of 8 and 40 moves 16 bytes at a time on a GPU, the others one element.
  for (ProjectionEpilogue epilogue : kAll)
    for (const auto& [N, D, K] :
         {std::array{1, 3, 1}, std::array{3, 5, 8}, std::array{5, 7, 13}, std::array{9, 20, 40}}) {
      const std::string what =
          detail::concat("epilogue ", static_cast<int>(epilogue), " N=", N, " D=", D, " K=", K);
      const DenseProjection p = projection(epilogue, K, D);
      const Reference reference(p);
      const Tensor x = make(random_values(N * D, 1, 1), {N, D});
      const Result r = forward(x, p);
      const auto z = product(x, p.w);
      // z is in f32 whatever the dtype; cos_sin takes its error times 2 pi.
      expect_close(r.z, z, std::min(tolerance(), 2e-6), what + " z");
      expect_close(r.y, reference.y(z, K), 4 * tolerance(), what + " forward");
      const Tensor dy = make(random_values(r.y.numel(), 1, 2), r.y.shape());
      const auto dz = reference.dz(to_doubles(r.z), to_doubles(dy), K), w = to_doubles(p.w);
      std::vector<double> dx(static_cast<std::size_t>(N * D));
      for (std::int64_t n = 0; n < N; ++n)
        for (std::int64_t k = 0; k < K; ++k)
          for (std::int64_t d = 0; d < D; ++d) dx[n * D + d] += dz[n * K + k] * w[k * D + d];
      // Sums of K products, whose factors may cancel.
      expect_close(backward(dy, r, p), dx, 4 * tolerance(), what + " backward");
    }
}

TEST_P(DenseProjectionTest, ProductNeedsNoMemoryOfItsOwn) {
  for (ProjectionEpilogue epilogue : kAll) {
    const DenseProjection p = projection(epilogue, 6, 4);
    const Tensor x = make(random_values(3 * 4), {3, 4});
    const Tensor expected = forward(x, p).y;
    Tensor y = make_like(expected.shape());
    dense_projection_forward(y, nullptr, x, p);
    EXPECT_TRUE(same_bytes(y, expected)) << static_cast<int>(epilogue);
  }
}

TEST_P(DenseProjectionTest, FeaturesHaveUnitLengthAtAnyPhase) {
  // z = w: reduced exactly, so that what remains is the error of sine and cosine; from 2^22 turns
  // on, where f32 has only half turns left, 1 and 0.
  std::vector<double> w;
  const bool small = dtype() == DType::f16;  // up to 65504
  for (double scale : {0.1, 1.0, 100.0, small ? 1e4 : 1e6}) {
    const auto part = random_values(8, scale);
    w.insert(w.end(), part.begin(), part.end());
  }
  for (double v : {0.0, 0.25, -0.25, 0.5, -0.5, 1.0}) w.push_back(v);
  if (!small) w.insert(w.end(), {4194303.5, -3145728.75});
  const std::int64_t K = static_cast<std::int64_t>(w.size());
  const DenseProjection p{make(w, {K, 1}), cos_sin};
  const Result r = forward(make({1}, {1, 1}), p);
  // f64 leaves the reduction to the library, whose 2 pi z is rounded: 1e6 2^-52.
  const double bound = dtype() == DType::f64 ? 1e-8 : dtype() == DType::f32 ? 3e-7 : tolerance();
  expect_close(r.y, Reference(p).y(to_doubles(p.w), K), bound);
  double length = 0;
  for (double v : to_doubles(r.y)) length += v * v;
  EXPECT_NEAR(length, 1, 2 * tolerance());
}

TEST_P(DenseProjectionTest, HugePhasesAreWholeTurnsAndNanStays) {
  // f64 has no such reduction, f16 no such numbers.
  if (dtype() == DType::f64 || dtype() == DType::f16) return expect_no_launch();
  const double inf = std::numeric_limits<double>::infinity();
  const DenseProjection p{make({1e9, -1e30, inf, 0.25}, {4, 1}), cos_sin};
  const auto y = to_doubles(forward(make({1}, {1, 1}), p).y);
  for (int k : {0, 1}) {
    EXPECT_EQ(y[k], 0.5);
    EXPECT_EQ(y[4 + k], 0);
  }
  EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[6]));
  EXPECT_EQ(y[7], 0.5);
}

TEST_P(DenseProjectionTest, AnyAlignment) {
  const std::int64_t N = 2, K = 8;
  const DenseProjection p = projection(cos_sin, K, 3);
  const Tensor x = make(random_values(N * 3), {N, 3});
  const Result r = forward(x, p);
  Tensor y = make_like({N * 2 * K + 1}).rows(1, N * 2 * K + 1).reshape({N, 2 * K});
  dense_projection_forward(y, nullptr, x, p);
  EXPECT_TRUE(same_bytes(y, r.y));
  EXPECT_TRUE(same_bytes(backward(y, {y, {}}, p), backward(r.y, r, p)));
}

TEST_P(DenseProjectionTest, NoRows) {
  expect_no_launch();
  for (ProjectionEpilogue epilogue : kAll) {
    const DenseProjection p = projection(epilogue, 4, 3);
    const Result r = forward(make({}, {0, 3}), p);
    EXPECT_EQ(backward(r.y, r, p).numel(), 0);
  }
}

// y . y' of random features for m frequencies at a time, R times from disjoint rows of one W.
struct Estimates {
  double mean = 0, variance = 0;
  Estimates(const Tensor& w, const std::vector<double>& x, std::int64_t m) {
    const std::int64_t K = w.dim(0), R = K / m;
    Tensor y = Tensor::empty({2, 2 * K}, DType::f64);
    dense_projection_forward(y, nullptr, Tensor::from(x, {2, w.dim(1)}), {w, cos_sin});
    const auto v = to_doubles(y);
    double squares = 0;
    for (std::int64_t r = 0; r < R; ++r) {
      double dot = 0;
      for (std::int64_t k = r * m; k < (r + 1) * m; ++k)
        dot += R * (v[k] * v[2 * K + k] + v[K + k] * v[3 * K + k]);
      mean += dot / R;
      squares += dot * dot / R;
    }
    variance = squares - mean * mean;
  }
};

TEST(RandomFeatures, EstimateTheGaussianKernelWithTheVarianceOfTheory) {
  // Deviations at 20000 repetitions: of the mean 0.2 %, of the variance about 1.5 %.
  const std::int64_t m = 4, K = m * 20000;
  const Tensor w = gaussian_frequencies(7, 3, {K, 3}, 1.5, DType::f64);
  const std::vector<double> x = {0.3, -0.2, 1, 0.9, 0.4, 0.1};
  const double k = std::exp(-(0.36 + 0.36 + 0.81) / (2 * 1.5 * 1.5));
  const Estimates e(w, x, m);
  EXPECT_NEAR(e.mean, k, 0.01 * k);
  EXPECT_NEAR(e.variance / (std::pow(1 - k * k, 2) / (2 * m)), 1, 0.05);
}

TEST(RandomFeatures, EstimateTheLaplaceKernelWithTheVarianceOfTheory) {
  const std::int64_t m = 4, K = m * 20000;
  const Tensor w = cauchy_frequencies(7, 3, {K, 3}, 2, DType::f64);
  const std::vector<double> x = {0.3, -0.2, 1, 0.9, 0.4, 0.1};
  const double k = std::exp(-(0.6 + 0.6 + 0.9) / 2);
  const Estimates e(w, x, m);
  EXPECT_NEAR(e.mean, k, 0.02 * k);
  EXPECT_NEAR(e.variance / ((1 - k * k) / (2 * m)), 1, 0.05);
}

TEST(RandomFeatures, AnElementDependsOnNothingButItsPlace) {
  for (const auto draw : {gaussian_frequencies, cauchy_frequencies}) {
    const auto small = to_doubles(draw(7, 3, {2, 3}, 1, DType::f32, Device::cpu()));
    const auto large = to_doubles(draw(7, 3, {4, 6}, 0.5, DType::f32, Device::cpu()));
    for (int k = 0; k < 2; ++k)
      for (int d = 0; d < 3; ++d) EXPECT_EQ(2 * small[k * 3 + d], large[k * 6 + d]);
  }
}

TEST(DenseProjection, SameBitsForThreadsAndInstructionSets) {
  for (ProjectionEpilogue epilogue : kAll)
    expect_same_bits([&] {
      const std::int64_t N = 300, D = 20, K = 150;
      DenseProjection p{gaussian_frequencies(1, 2, {K, D}, 0.1), epilogue};
      p.mean = Tensor::from(random_values(K, 1, 1), {K}).to(DType::f32);
      p.inv_std = Tensor::from(random_values(K, 1, 2), {K}).to(DType::f32);
      const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
      Tensor y = Tensor::empty({N, epilogue == cos_sin ? 2 * K : K}), z = Tensor::empty({N, K});
      Tensor dx = Tensor::empty({N, D});
      dense_projection_forward(y, &z, x, p);
      dense_projection_backward(dx, y, epilogue == cos_sin ? y : z, p);
      return std::vector{y, z, dx};
    });
}

TEST(DenseProjection, Rejections) {
  const Tensor x = Tensor::zeros({2, 3}), w = Tensor::zeros({4, 3});
  Tensor y = Tensor::zeros({2, 4}), half = Tensor::zeros({2, 4}, DType::bf16);
  Tensor dx = Tensor::zeros({2, 3});
  const auto forward = [&](Tensor& out, const DenseProjection& p) {
    dense_projection_forward(out, nullptr, x, p);
  };
  expect_error([&] { forward(y, {}); },
               "dense_projection_forward: w has shape (); expected (K,D) with K, D >= 1");
  expect_error([&] { forward(y, {Tensor::zeros({4, 0})}); }, "w has shape (4,0)");
  expect_error(
      [&] {
        forward(y, {Tensor::zeros({4, 3}, DType::i32)});
      },
      "dense_projection_forward: w is i32; expected a floating dtype");
  expect_error(
      [&] {
        forward(y, {Tensor::zeros({4, 5})});
      },
      "dense_projection_forward: x is f32(2,3) on cpu, w f32(4,5) on cpu; expected "
      "f32(2,5) on cpu");
  expect_error(
      [&] {
        forward(y, {w, cos_sin});
      },
      "y is f32(2,4) on cpu, w f32(4,3) on cpu; "
      "expected f32(2,8)");
  expect_error([&] { forward(half, {w}); }, "y is bf16(2,4) on cpu");
  expect_error(
      [&] {
        forward(y, {w, standardise});
      },
      "dense_projection_forward: mean is undefined; expected f32(4)");
  expect_error(
      [&] {
        forward(y, {w, standardise, Tensor::zeros({4}), Tensor::zeros({3})});
      },
      "inv_std is f32(3) on cpu");
  expect_error([&] { dense_projection_forward(y, &half, x, {w}); }, "z is bf16(2,4) on cpu");
  expect_error(
      [&] {
        dense_projection_backward(dx, y, {}, {w, square});
      },
      "dense_projection_backward: saved is undefined; expected f32(2,4)");
  expect_error([&] { dense_projection_backward(dx, y, y, {w, cos_sin}); }, "dy is f32(2,4)");
  expect_error([&] { dense_projection_backward(y, y, y, {w}); }, "dx is f32(2,4) on cpu");
  expect_error([] { gaussian_frequencies(1, 0, {4}, 1); },
               "frequencies: shape is (4); expected (K,D)");
  expect_error(
      [] {
        cauchy_frequencies(1, 0, {4, 2}, 0);
      },
      "frequencies: sigma is 0; expected > 0");
}

}  // namespace
}  // namespace limbeck::testing

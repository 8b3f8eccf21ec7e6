// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/rademacher_projection.h>

#include <limits>
#include <numeric>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

const RademacherMatrix kMatrix = {.seed = 7, .layer = 3};

// Phi (K,D) in row-major order.
std::vector<double> matrix_of(std::int64_t K, std::int64_t D) {
  std::vector<double> phi;
  for (std::int64_t k = 0; k < K; ++k)
    for (std::int64_t d = 0; d < D; ++d)
      phi.push_back(
          rademacher_sign(kMatrix, static_cast<std::uint32_t>(k), static_cast<std::uint64_t>(d)) /
          std::sqrt(static_cast<double>(K)));
  return phi;
}

class RademacherProjectionTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, std::int64_t K) const {
    Tensor y = make_like({x.dim(0), K});
    rademacher_projection_forward(y, x, kMatrix);
    return y;
  }
  Tensor backward(const Tensor& dy, std::int64_t D) const {
    Tensor dx = make_like({dy.dim(0), D});
    rademacher_projection_backward(dx, dy, kMatrix);
    return dx;
  }
  void expect_definition(std::int64_t N, std::int64_t D, std::int64_t K) const {
    const Tensor x = make(random_values(N * D, 1, 1), {N, D});
    const Tensor dy = make(random_values(N * K, 1, 2), {N, K});
    const auto phi = matrix_of(K, D), xv = to_doubles(x), dyv = to_doubles(dy);
    std::vector<double> y(static_cast<std::size_t>(N * K)), dx(static_cast<std::size_t>(N * D));
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t k = 0; k < K; ++k)
        for (std::int64_t d = 0; d < D; ++d) {
          y[n * K + k] += xv[n * D + d] * phi[k * D + d];
          dx[n * D + d] += dyv[n * K + k] * phi[k * D + d];
        }
    const std::string what = detail::concat("N=", N, " D=", D, " K=", K);
    expect_close(forward(x, K), y, tolerance(), what + " forward");
    expect_close(backward(dy, D), dx, tolerance(), what + " backward");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(RademacherProjectionTest);

TEST(Rademacher, SignsAreTheBitsOfTheStream) {
  // Part of the file format: these numbers may not change.
  const std::vector<std::uint32_t> golden = {0x904c2687, 0x53acd278, 0x064e0e10,
                                             0x7c08e5b3, 0x1acf8b3c, 0x235fa657};
  std::vector<std::uint32_t> words;
  for (std::uint32_t k : {0, 1})
    for (std::uint64_t w : {0, 1, 5}) words.push_back(rademacher_word(kMatrix, k, w));
  EXPECT_EQ(words, golden);
  for (std::uint64_t d = 0; d < 300; ++d) {
    const Philox4 b = rademacher_block(kMatrix, 1, static_cast<std::uint32_t>(d / 128));
    const std::uint32_t word[4] = {b.x, b.y, b.z, b.w};
    EXPECT_EQ(rademacher_sign(kMatrix, 1, d), (word[d / 32 % 4] >> d % 32 & 1) != 0 ? -1 : 1);
  }
}

TEST_P(RademacherProjectionTest, HandNumbers) {
  // Phi = [[- - -], [- - +]] / sqrt 2 for this matrix: x = (1,2,4) gives (-7,1) / sqrt 2, and
  // dy = (2,6) gives (-2 - 6, -2 - 6, -2 + 6) / sqrt 2.
  const double r = std::sqrt(0.5);
  expect_close(forward(make({1, 2, 4}, {1, 3}), 2), {-7 * r, 1 * r}, tolerance());
  expect_close(backward(make({2, 6}, {1, 2}), 3), {-8 * r, -8 * r, 4 * r}, tolerance());
}

TEST_P(RademacherProjectionTest, MatchesDefinitionAtEveryWidth) {
  // Edges of: a quad (4), a vector (16, or 8), a Philox block (128), a task's columns and depth
  // (256), its rows (64, by fours), a GPU block's columns (256).
  for (std::int64_t D : {1, 4, 7, 130}) expect_definition(3, D, 18);
  for (std::int64_t N : {1, 4, 66}) expect_definition(N, 36, 70);
  expect_definition(5, 260, 261);
}

TEST_P(RademacherProjectionTest, MatchesDefinitionInTiles) {
  // 16-bit rows of whole 16 bytes go through a GPU's tensor cores: tiles of 128, steps of 16.
  expect_definition(3, 8, 24);
  expect_definition(131, 136, 152);
}

TEST_P(RademacherProjectionTest, ManyRows) { expect_definition(515, 9, 5); }

TEST_P(RademacherProjectionTest, CpuAndGpuAgreeToTheBit) {
  // No multiples of 8 elements: 16-bit rows stay away from tensor cores.
  for (const auto& [N, D, K] : {std::array{5, 300, 44}, std::array{600, 12, 6}}) {
    const Tensor x = make(random_values(N * D, 1, 1), {N, D});
    Tensor y = Tensor::empty({N, K}, dtype()), dx = Tensor::empty({N, D}, dtype());
    rademacher_projection_forward(y, x.to(Device::cpu()), kMatrix);
    rademacher_projection_backward(dx, y, kMatrix);
    EXPECT_TRUE(same_bytes(forward(x, K), y));
    EXPECT_TRUE(same_bytes(backward(y.to(device()), D), dx));
  }
}

TEST_P(RademacherProjectionTest, AFewRowsOfTheMatrixAreThoseOfAll) {
  const std::int64_t N = 3, D = 21;
  const Tensor x = make(random_values(N * D), {N, D});
  const auto few = to_doubles(forward(x, 4)), all = to_doubles(forward(x, 16));
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t k = 0; k < 4; ++k) EXPECT_EQ(few[n * 4 + k], 2 * all[n * 16 + k]);
}

TEST_P(RademacherProjectionTest, AnyAlignmentAndNoFurtherThanTheRow) {
  const std::int64_t N = 2, D = 136, K = 24;
  const auto values = random_values(N * D);
  std::vector<double> shifted = {std::numeric_limits<double>::quiet_NaN()};
  shifted.insert(shifted.end(), values.begin(), values.end());
  shifted.push_back(shifted[0]);
  const Tensor x = make(shifted, {N * D + 2}).rows(1, N * D + 1).reshape({N, D});
  // Not by the bit: in 16 bits only one of the two goes through tensor cores.
  expect_close(forward(x, K), to_doubles(forward(make(values, {N, D}), K)), tolerance());
}

TEST_P(RademacherProjectionTest, NanSpoilsItsRowOnly) {
  auto values = random_values(6 * 10);
  values[3 * 10 + 5] = std::numeric_limits<double>::quiet_NaN();
  const auto y = to_doubles(forward(make(values, {6, 10}), 20));
  for (int i = 0; i < 6 * 20; ++i) EXPECT_EQ(std::isnan(y[i]), i / 20 == 3);
}

TEST_P(RademacherProjectionTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(forward(make({}, {0, 10}), 4).numel(), 0);
  EXPECT_EQ(backward(make({}, {0, 4}), 10).numel(), 0);
}

TEST(RademacherProjection, NormIsKeptWithTheVarianceOfTheory) {
  // Disjoint sets of m rows are independent matrices. Mean 1 and variance 2/m (1 - sum x^4) for a
  // unit x; their own standard deviations at R repetitions are 0.6 % and about 2 %.
  const std::int64_t D = 16, m = 4, R = 10000;
  auto x = random_values(D);
  const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  double x4 = 0;
  for (double& v : x) x4 += std::pow(v /= norm, 4);
  Tensor y = Tensor::empty({1, m * R}, DType::f64);
  rademacher_projection_forward(y, Tensor::from(x, {1, D}), kMatrix);
  const auto yv = to_doubles(y);
  double sum = 0, squares = 0;
  for (std::int64_t r = 0; r < R; ++r) {
    double energy = 0;
    for (std::int64_t k = 0; k < m; ++k) energy += R * yv[r * m + k] * yv[r * m + k];
    sum += energy / R;
    squares += energy * energy / R;
  }
  EXPECT_NEAR(sum, 1, 0.02);
  EXPECT_NEAR((squares - sum * sum) / (2.0 / m * (1 - x4)), 1, 0.06);
}

TEST(RademacherProjection, BackwardIsTheDerivativeOfForward) {
  // f64: the op is linear, so a difference over a whole step is exact but for rounding.
  const std::int64_t D = 9, K = 5;
  const auto dy = random_values(K, 1, 2);
  Tensor dx = Tensor::empty({1, D}, DType::f64), y = Tensor::empty({D, K}, DType::f64);
  rademacher_projection_backward(dx, Tensor::from(dy, {1, K}), kMatrix);
  std::vector<double> units(D * D), numeric(D);
  for (std::int64_t d = 0; d < D; ++d) units[d * D + d] = 1;
  rademacher_projection_forward(y, Tensor::from(units, {D, D}), kMatrix);
  const auto yv = to_doubles(y);
  for (std::int64_t d = 0; d < D; ++d)
    for (std::int64_t k = 0; k < K; ++k) numeric[d] += dy[k] * yv[d * K + k];
  expect_close(dx, numeric, 1e-12);
}

TEST(RademacherProjection, SameBitsForThreadsAndInstructionSets) {
  for (const auto& [N, D, K] : {std::array{131, 70, 300}, std::array{9, 600, 33}})
    expect_same_bits([&, N = N, D = D, K = K] {
      std::vector<Tensor> results;
      for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(dtype);
        Tensor y = Tensor::empty({N, K}, dtype), dx = Tensor::empty({N, D}, dtype);
        rademacher_projection_forward(y, x, kMatrix);
        rademacher_projection_backward(dx, y, kMatrix);
        results.insert(results.end(), {y, dx});
      }
      return results;
    });
}

TEST(RademacherProjection, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({2, 4});
  Tensor wrong = Tensor::zeros({3, 4}), flat = Tensor::zeros({6}), empty = Tensor::zeros({2, 0});
  Tensor bytes = Tensor::zeros({2, 3}, DType::u8), half = Tensor::zeros({2, 4}, DType::bf16);
  expect_error([&] { rademacher_projection_forward(wrong, x, kMatrix); },
               "rademacher_projection_forward: y is f32(3,4) on cpu, x f32(2,3) on cpu; expected "
               "matrices of equally many rows");
  expect_error([&] { rademacher_projection_forward(flat, x, kMatrix); }, "y is f32(6) on cpu");
  expect_error([&] { rademacher_projection_forward(empty, x, kMatrix); }, "y is f32(2,0) on cpu");
  expect_error([&] { rademacher_projection_forward(y, empty, kMatrix); }, "x f32(2,0) on cpu");
  expect_error([&] { rademacher_projection_forward(half, x, kMatrix); }, "y is bf16(2,4) on cpu");
  expect_error([&] { rademacher_projection_forward(y, bytes, kMatrix); },
               "rademacher_projection_forward: x is u8; expected a floating dtype");
  expect_error([&] { rademacher_projection_backward(wrong, y, kMatrix); },
               "rademacher_projection_backward: dx is f32(3,4) on cpu, dy f32(2,4) on cpu");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/srht.h>

#include <bit>
#include <limits>
#include <numeric>
#include <set>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr std::uint64_t kSeed = 7;
constexpr std::uint32_t kLayer = 3;

// The (K,D) matrix of a plan, from the definition: (-1)^(number of bits in row & column).
std::vector<double> matrix_of(const SrhtPlan& plan) {
  const auto rows = plan.rows.to_vector<std::int32_t>();
  std::vector<double> a;
  for (std::int32_t row : rows)
    for (std::int64_t d = 0; d < plan.D; ++d) {
      const std::uint32_t word =
          philox_word({kSeed, 0, kLayer, RngPurpose::srht}, static_cast<std::uint64_t>(d / 32));
      const int minus = std::popcount(static_cast<unsigned>(row & d)) + (word >> d % 32 & 1);
      a.push_back((minus % 2 != 0 ? -1 : 1) / std::sqrt(static_cast<double>(plan.K)));
    }
  return a;
}

class SrhtTest : public DeviceTest {
 protected:
  SrhtPlan plan(std::int64_t D, std::int64_t K) const {
    return make_srht_plan(kSeed, kLayer, D, K, device());
  }
  Tensor forward(const Tensor& x, const SrhtPlan& p) const {
    Tensor y = make_like({x.dim(0), p.K});
    srht_forward(y, x, p);
    return y;
  }
  Tensor backward(const Tensor& dy, const SrhtPlan& p) const {
    Tensor dx = make_like({dy.dim(0), p.D});
    srht_backward(dx, dy, p);
    return dx;
  }
  void expect_definition(std::int64_t N, std::int64_t D, std::int64_t K) const {
    const SrhtPlan p = plan(D, K);
    const Tensor x = make(random_values(N * D, 1, 1), {N, D});
    const Tensor dy = make(random_values(N * K, 1, 2), {N, K});
    const auto a = matrix_of(p), xv = to_doubles(x), dyv = to_doubles(dy);
    std::vector<double> y(static_cast<std::size_t>(N * K)), dx(static_cast<std::size_t>(N * D));
    for (std::int64_t n = 0; n < N; ++n)
      for (std::int64_t k = 0; k < K; ++k)
        for (std::int64_t d = 0; d < D; ++d) {
          y[n * K + k] += xv[n * D + d] * a[k * D + d];
          dx[n * D + d] += dyv[n * K + k] * a[k * D + d];
        }
    const std::string what = detail::concat("N=", N, " D=", D, " K=", K);
    expect_close(forward(x, p), y, tolerance(), what + " forward");
    expect_close(backward(dy, p), dx, tolerance(), what + " backward");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(SrhtTest);

TEST_P(SrhtTest, HandNumbers) {
  // Signs (-,-) and rows 0, 1 for this seed: y = (-x0 - x1, -x0 + x1) / sqrt 2, and the same
  // backwards.
  const double r = std::sqrt(0.5);
  const SrhtPlan p = plan(2, 2);
  expect_close(forward(make({1, 2}, {1, 2}), p), {-3 * r, 1 * r}, tolerance());
  expect_close(backward(make({1, 2}, {1, 2}), p), {-3 * r, 1 * r}, tolerance());
}

TEST_P(SrhtTest, MatchesDefinitionAtEveryWidth) {
  // Around a vector's 4, 8 and 16 lanes, then every number of passes on the CPU (three bits each)
  // and on the GPU (four bits each, 4096 elements to a block), the widest row included.
  for (const auto& [N, D, K] :
       {std::array{3, 1, 1}, std::array{3, 2, 1}, std::array{3, 3, 4}, std::array{2, 7, 5},
        std::array{3, 16, 9}, std::array{2, 20, 32}, std::array{2, 33, 10}, std::array{3, 128, 40},
        std::array{2, 250, 7}, std::array{2, 512, 33}, std::array{1, 1024, 5},
        std::array{2, 4096, 9}, std::array{1, 5000, 6}, std::array{1, 16384, 4}})
    expect_definition(N, D, K);
  expect_definition(300, 12, 3);  // more rows than a GPU's block holds
}

TEST_P(SrhtTest, IsAnIsometryWhenNothingIsLeftOut) {
  for (std::int64_t D : {1, 5, 64}) {
    const auto P = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(D)));
    const SrhtPlan p = plan(D, P);
    const Tensor x = make(random_values(2 * D), {2, D});
    // Two roundings of the dtype where other ops have one.
    expect_close(backward(forward(x, p), p), to_doubles(x), 2 * tolerance());
  }
}

TEST_P(SrhtTest, CpuAndGpuAgreeToTheBit) {
  for (const auto& [N, D, K] : {std::array{5, 12, 7}, std::array{2, 8192, 30}}) {
    const SrhtPlan p = plan(D, K), host = make_srht_plan(kSeed, kLayer, D, K);
    const Tensor x = make(random_values(N * D), {N, D});
    Tensor y = Tensor::empty({N, K}, dtype()), dx = Tensor::empty({N, D}, dtype());
    srht_forward(y, x.to(Device::cpu()), host);
    srht_backward(dx, y, host);
    EXPECT_TRUE(same_bytes(forward(x, p), y));
    EXPECT_TRUE(same_bytes(backward(y.to(device()), p), dx));
  }
}

TEST_P(SrhtTest, AnyAlignmentAndNoFurtherThanTheRow) {
  const std::int64_t N = 2, D = 48;
  const SrhtPlan p = plan(D, 24);
  const auto values = random_values(N * D);
  std::vector<double> shifted = {std::numeric_limits<double>::quiet_NaN()};
  shifted.insert(shifted.end(), values.begin(), values.end());
  shifted.push_back(shifted[0]);
  const Tensor x = make(shifted, {N * D + 2}).rows(1, N * D + 1).reshape({N, D});
  EXPECT_TRUE(same_bytes(forward(x, p), forward(make(values, {N, D}), p)));
}

TEST_P(SrhtTest, NanSpoilsItsRowOnly) {
  auto values = random_values(6 * 10);
  values[3 * 10 + 5] = std::numeric_limits<double>::quiet_NaN();
  const auto y = to_doubles(forward(make(values, {6, 10}), plan(10, 16)));
  for (int i = 0; i < 6 * 16; ++i) EXPECT_EQ(std::isnan(y[i]), i / 16 == 3);
}

TEST_P(SrhtTest, NoRows) {
  expect_no_launch();
  const SrhtPlan p = plan(10, 4);
  EXPECT_EQ(forward(make({}, {0, 10}), p).numel(), 0);
  EXPECT_EQ(backward(make({}, {0, 4}), p).numel(), 0);
}

TEST(Srht, PlanIsPartOfTheFileFormat) {
  const SrhtPlan p = make_srht_plan(kSeed, kLayer, 40, 8);
  EXPECT_EQ(p.P, 64);
  EXPECT_EQ(p.signs.to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{1184713223, -1131509547}));
  EXPECT_EQ(p.rows.to_vector<std::int32_t>(),
            (std::vector<std::int32_t>{30, 6, 58, 5, 1, 41, 9, 38}));
}

TEST(Srht, RowsAreDistinctAndThoseOfASmallerKComeFirst) {
  const auto few = make_srht_plan(kSeed, kLayer, 100, 50).rows.to_vector<std::int32_t>();
  const auto all = make_srht_plan(kSeed, kLayer, 100, 128).rows.to_vector<std::int32_t>();
  EXPECT_EQ(std::set<std::int32_t>(all.begin(), all.end()).size(), 128u);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), all.begin()));
}

TEST(Srht, NormIsKeptWithTheVarianceOfTheory) {
  // Mean 1 and variance 2/m (1 - sum x^4) (n-m)/(n-1) for a unit x of n = P elements. Their own
  // standard deviations at R draws are 0.6 % and about 2 %.
  const std::int64_t n = 16, m = 4, R = 10000;
  auto x = random_values(n);
  const double norm = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  double x4 = 0;
  for (double& v : x) x4 += std::pow(v /= norm, 4);
  const Tensor xt = Tensor::from(x, {1, n});
  Tensor y = Tensor::empty({1, m}, DType::f64);
  double sum = 0, squares = 0;
  for (std::int64_t r = 0; r < R; ++r) {
    srht_forward(y, xt, make_srht_plan(static_cast<std::uint64_t>(r), 0, n, m));
    double energy = 0;
    for (double v : y.to_vector<double>()) energy += v * v;
    sum += energy / R;
    squares += energy * energy / R;
  }
  EXPECT_NEAR(sum, 1, 0.02);
  EXPECT_NEAR((squares - sum * sum) / (2.0 / m * (1 - x4) * (n - m) / (n - 1)), 1, 0.06);
}

TEST(Srht, SameBitsForThreadsAndInstructionSets) {
  for (const auto& [N, D, K] :
       {std::array{9, 3, 2}, std::array{5000, 30, 9}, std::array{40, 4000, 300}})
    expect_same_bits([&, N = N, D = D, K = K] {
      const SrhtPlan p = make_srht_plan(kSeed, kLayer, D, K);
      const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
      Tensor y = Tensor::empty({N, K}), dx = Tensor::empty({N, D});
      srht_forward(y, x, p);
      srht_backward(dx, y, p);
      return std::vector{y, dx};
    });
}

TEST(Srht, Rejections) {
  expect_error([] { make_srht_plan(1, 0, 20000, 4); }, "srht: D is 20000; expected 1 to 16384");
  expect_error([] { make_srht_plan(1, 0, 0, 4); }, "srht: D is 0");
  expect_error([] { make_srht_plan(1, 0, 20, 33); },
               "srht: K is 33, D 20 (padded to 32); expected 1 <= K <= 32");
  expect_error([] { make_srht_plan(1, 0, 20, 0); }, "srht: K is 0");
  const SrhtPlan p = make_srht_plan(kSeed, kLayer, 3, 2);
  Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({2, 2}), more = Tensor::zeros({3, 2});
  Tensor bytes = Tensor::zeros({2, 3}, DType::u8), half = Tensor::zeros({2, 2}, DType::bf16);
  expect_error([&] { srht_forward(y, y, p); },
               "srht_forward: x has shape (2,2), the plan takes 3 to 2 elements; expected (N,3)");
  expect_error([&] { srht_forward(x, x, p); }, "srht_forward: y has shape (2,3)");
  expect_error([&] { srht_forward(more, x, p); }, "srht_forward: y is f32(3,2), x f32(2,3)");
  expect_error([&] { srht_forward(half, x, p); }, "srht_forward: y is bf16(2,2), x f32(2,3)");
  expect_error([&] { srht_forward(y, bytes, p); }, "srht_forward: x is u8");
  expect_error([&] { srht_forward(y, x, {}); }, "srht_forward: the plan is empty");
  expect_error([&] { srht_backward(x, x, p); },
               "srht_backward: dy has shape (2,3), the plan takes 3 to 2 elements; expected (N,2)");
}

}  // namespace
}  // namespace limbeck::testing

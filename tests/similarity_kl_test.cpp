// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/similarity_kl.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  Tensor row_loss, dgram;
};

Result run(const Tensor& s, const Tensor& t, bool gradient = true) {
  Result r{Tensor::full({s.dim(0)}, 777, s.dtype(), s.device()), {}};
  if (gradient) r.dgram = Tensor::full(s.shape(), 777, s.dtype(), s.device());
  similarity_kl_forward_with_grad(r.row_loss, r.dgram, s, t);
  return r;
}

/// The definition in long double.
struct Reference {
  std::vector<double> loss, gradient;
  Reference(const std::vector<double>& s, const std::vector<double>& t, std::int64_t N) {
    const auto k = [](double g) {
      return std::max<long double>((1 + (long double)(g)) / 2, 1e-7L);
    };
    for (std::int64_t i = 0; i < N; ++i) {
      long double zs = 0, zt = 0, kl = 0;
      for (std::int64_t j = 0; j < N; ++j)
        if (j != i) zs += k(s[i * N + j]), zt += k(t[i * N + j]);
      for (std::int64_t j = 0; j < N; ++j) {
        const long double ks = k(s[i * N + j]), ps = ks / zs, pt = k(t[i * N + j]) / zt;
        if (j != i) kl += pt * std::log(pt / ps);
        const bool fixed = j == i || ks == 1e-7L;
        gradient.push_back(fixed ? 0 : static_cast<double>(-(pt / ks - 1 / zs) / (2 * N)));
      }
      loss.push_back(static_cast<double>(kl));
    }
  }
};

class SimilarityKlTest : public DeviceTest {
 protected:
  void compare(std::int64_t N, double scale) const {
    const Tensor s = make(random_values(N * N, scale, 1), {N, N});
    const Tensor t = make(random_values(N * N, scale, 2), {N, N});
    const Reference expected(to_doubles(s), to_doubles(t), N);
    const Result r = run(s, t);
    const std::string what = std::to_string(N) + " " + std::to_string(scale);
    // A logarithm of a quotient near 1 is off by an ulp of 1, not of itself.
    expect_close(r.row_loss, expected.loss, 8 * tolerance() / scale, what + " loss");
    expect_close(r.dgram, expected.gradient, 8 * tolerance() / scale, what + " gradient");
    EXPECT_TRUE(same_bytes(run(s, t, false).row_loss, r.row_loss));
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, SimilarityKlTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

// Three samples. Row 0, student: k of cosines 0, 0 are 1/2, 1/2: p 1/2, 1/2. Teacher: cosines 0.5,
// -0.5: k 3/4, 1/4, p the same. KL = 3/4 log(3/2) + 1/4 log(1/2); gradient -(3/2 - 1)/6 and
// -(1/2 - 1)/6. The other rows agree. What stands on the diagonal does not matter.
TEST_P(SimilarityKlTest, HandNumbers) {
  const Result r = run(make({1, 0, 0, 0, 1, 0, 0, 0, 1}, {3, 3}),
                       make({1, 0.5, -0.5, 0.5, 1, 0.5, -0.5, -0.5, 7}, {3, 3}));
  expect_close(r.row_loss, {0.75 * std::log(1.5) + 0.25 * std::log(0.5), 0, 0}, 4 * tolerance());
  expect_close(r.dgram, {0, -1.0 / 12, 1.0 / 12, 0, 0, 0, 0, 0, 0}, 4 * tolerance());
}

TEST_P(SimilarityKlTest, MatchesDefinitionAtEveryWidth) {
  for (const std::int64_t N : {2, 3, 31, 32, 33, 65, 130}) compare(N, 0.9);
  if (!device().is_cuda()) compare(300, 0.9);
  for (const double scale : {0.01, 0.1, 0.5}) compare(40, scale);
}

TEST_P(SimilarityKlTest, NothingIsNegativeAndEqualOnesAreZero) {
  const std::int64_t N = 20;
  const Tensor s = make(random_values(N * N, 0.9, 1), {N, N});
  expect_close(run(s, s.clone()).row_loss, std::vector<double>(N, 0), 0);
  expect_close(run(s, s.clone()).dgram, std::vector<double>(N * N, 0), 0);
  for (const double step : {1e-6, 1e-4, 1e-2}) {
    auto values = to_doubles(s);
    const auto noise = random_values(N * N, step, 3);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += noise[i];
    for (const double loss : to_doubles(run(s, make(values, {N, N})).row_loss)) EXPECT_GE(loss, 0);
  }
}

TEST_P(SimilarityKlTest, OppositesAndRoundedCosinesAreFinite) {
  // -1 and what rounding makes of it: no logarithm of 0, no gradient beyond the least similarity.
  const Tensor s = make({1, -1, 0.5, -1.000001, 1, 0.5, 0, 0, 1}, {3, 3});
  const Tensor t = make({1, 0.5, -1, 0, 1, -1, 1, 1, 1}, {3, 3});
  const Result r = run(s, t);
  for (const double loss : to_doubles(r.row_loss)) EXPECT_TRUE(std::isfinite(loss)) << loss;
  EXPECT_EQ(to_doubles(r.dgram)[1], 0);
  EXPECT_EQ(to_doubles(r.dgram)[3], 0);
  for (const double g : to_doubles(r.dgram)) EXPECT_TRUE(std::isfinite(g));
}

TEST_P(SimilarityKlTest, OneSampleHasNobodyToChoose) {
  const Result r = run(make({1}, {1, 1}), make({1}, {1, 1}));
  expect_close(r.row_loss, {0}, 0);
  expect_close(r.dgram, {0}, 0);
}

TEST_P(SimilarityKlTest, TheGradientMayTakeTheStudentsPlace) {
  for (const std::int64_t N : {20, 150}) {
    Tensor s = make(random_values(N * N, 0.9, 1), {N, N});
    const Tensor t = make(random_values(N * N, 0.9, 2), {N, N});
    const Result r = run(s, t);
    Tensor row_loss = r.row_loss.clone();
    similarity_kl_forward_with_grad(row_loss, s, s, t);
    EXPECT_TRUE(same_bytes(s, r.dgram));
    EXPECT_TRUE(same_bytes(row_loss, r.row_loss));
  }
}

TEST(SimilarityKl, SameBitsForThreadsAndInstructionSets) {
  for (const std::int64_t N : {30, 300})
    expect_same_bits([&] {
      const Tensor s = Tensor::from(random_values(N * N, 0.9, 1), {N, N}).to(DType::f32);
      const Tensor t = Tensor::from(random_values(N * N, 0.9, 2), {N, N}).to(DType::f32);
      const Result r = run(s, t);
      return std::vector{r.row_loss, r.dgram};
    });
}

TEST(SimilarityKl, Rejections) {
  Tensor s = Tensor::zeros({3, 3}), other = Tensor::zeros({2, 2}), three = Tensor::zeros({3});
  expect_error(
      [&] {
        run(Tensor::zeros({3, 2}), s);
      },
      "similarity_kl: student is f32(3,2); expected (N,N) of f32 or f64");
  expect_error(
      [&] {
        run(Tensor::zeros({3, 3}, DType::bf16), s);
      },
      "similarity_kl: student is bf16(3,3)");
  expect_error([&] { run(s, other); }, "similarity_kl: teacher is f32(2,2)");
  expect_error([&] { similarity_kl_forward_with_grad(three, other, s, s); },
               "similarity_kl: dgram is f32(2,2)");
  Tensor two = Tensor::zeros({2});
  expect_error([&] { similarity_kl_forward_with_grad(two, s, s, s); },
               "similarity_kl: row_loss is f32(2)");
}

}  // namespace
}  // namespace limbeck::testing

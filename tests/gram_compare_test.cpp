// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/gram_compare.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

GramCompareOutputs run(const Tensor& s, const Tensor& t, const GramCompareOptions& options,
                       bool gradient = true) {
  const DType full = s.dtype() == DType::f64 ? DType::f64 : DType::f32;
  GramCompareOutputs out;
  out.loss = Tensor::full({1}, 777, full, s.device());
  out.scale = out.loss.clone();
  if (gradient) out.dgram = Tensor::full(s.shape(), 777, s.dtype(), s.device());
  gram_compare_forward_with_grad(out, s, t, options);
  return out;
}

double power_sum(const std::vector<double>& a, double g, bool slope) {
  double sum = 0;
  for (std::size_t p = slope ? 1 : 0; p < a.size(); ++p)
    sum += a[p] * (slope ? static_cast<double>(p) : 1) *
           std::pow(g, static_cast<double>(p) - (slope ? 1 : 0));
  return sum;
}

class GramCompareTest : public DeviceTest {
 protected:
  void compare(std::int64_t N, std::int64_t M, const GramCompareOptions& options) const {
    const Tensor s = make(random_values(N * M, 1, 1), {N, M});
    const Tensor t = make(random_values(N * M, 1, 2), {N, M});
    const auto gs = to_doubles(s), gt = to_doubles(t);
    const auto& a = options.coefficients;
    const double rows = options.mean_over > 0 ? options.mean_over : static_cast<double>(N);
    const double count = rows * static_cast<double>(M);
    double loss = 0, squares = 0;
    std::vector<double> gradient;
    for (std::size_t i = 0; i < gs.size(); ++i) {
      const double target = power_sum(a, gt[i], false);
      const double error = power_sum(a, gs[i], false) - target;
      loss += error * error;
      squares += target * target;
      gradient.push_back(2 * error / count * power_sum(a, gs[i], true));
    }
    const double divisor = options.relative ? squares : count;
    const GramCompareOutputs r = run(s, t, options);
    const std::string what = s.shape().str() + " " + std::to_string(a.size());
    expect_close(r.loss, {loss / divisor}, full_precision(), what + " loss");
    expect_close(r.scale, {count / divisor}, full_precision(), what + " scale");
    expect_close(r.dgram, gradient, tolerance(), what + " gradient");
    EXPECT_TRUE(same_bytes(run(s, t, options, false).loss, r.loss));
  }
  double full_precision() const { return dtype() == DType::f64 ? 1e-12 : 2e-6; }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(GramCompareTest);

// k(g) = 1 + 2g + g^2 = (1 + g)^2. Student 0, 1, -1, 1: k = 1, 4, 0, 4; teacher 0, 0, 1, 1: k = 1,
// 1, 4, 4. Errors 0, 3, -4, 0: loss 25/4, relative 25/34. k' = 2 (1 + g) = 2, 4, 0, 4 and the
// gradient 2/4 (0, 12, 0, 0).
TEST_P(GramCompareTest, HandNumbers) {
  const Tensor s = make({0, 1, -1, 1}, {2, 2}), t = make({0, 0, 1, 1}, {2, 2});
  const GramCompareOutputs plain = run(s, t, {.coefficients = {1, 2, 1}});
  expect_close(plain.loss, {6.25}, tolerance());
  expect_close(plain.scale, {1}, 0);
  expect_close(plain.dgram, {0, 6, 0, 0}, tolerance());
  const GramCompareOutputs relative = run(s, t, {.coefficients = {1, 2, 1}, .relative = true});
  expect_close(relative.loss, {25.0 / 34}, full_precision());
  expect_close(relative.scale, {4.0 / 34}, full_precision());
  EXPECT_TRUE(same_bytes(relative.dgram, plain.dgram));
}

TEST_P(GramCompareTest, PartsOfABatchHaveTheBitsOfTheWhole) {
  const Tensor s = make(random_values(90, 1, 1), {9, 10}),
               t = make(random_values(90, 1, 2), {9, 10});
  const GramCompareOutputs whole = run(s, t, {});
  const GramCompareOutputs part = run(s.rows(2, 6), t.rows(2, 6), {.mean_over = 9});
  EXPECT_TRUE(same_bytes(part.dgram, whole.dgram.rows(2, 6)));
}

TEST_P(GramCompareTest, MatchesDefinitionAtEveryWidthAndDegree) {
  for (const std::int64_t M : {1, 31, 32, 33, 100, 129, 257, 600})
    compare(M < 40 ? 9 : 3, M, {.coefficients = {0.3, 0.5, 0.2}, .relative = M % 2 == 0});
  compare(3, 1501, {.coefficients = {0, 1}});  // rows at every offset from a multiple of 16 bytes
  for (std::vector<double> a = {0.5, 1}; a.size() <= kMaxGramDegree + 1; a.push_back(0.3))
    compare(7, 20, {.coefficients = a, .relative = true});
  compare(3, 600, {.coefficients = {1, 1.5}, .mean_over = 8});
  compare(7, 20, {.relative = true, .mean_over = 10});
  compare(300, 2, {.coefficients = {1, -1, 0.5}, .relative = true});  // many rows to be summed
}

TEST_P(GramCompareTest, EqualMatricesHaveNoLossAndNoGradient) {
  const Tensor s = make(random_values(90, 1, 1), {9, 10});
  const GramCompareOutputs r = run(s, s.clone(), {.coefficients = {0.4, 0.3, 0.1, 0.1}});
  expect_close(r.loss, {0}, 0);
  expect_close(r.dgram, std::vector<double>(90, 0), 0);
}

TEST_P(GramCompareTest, SymmetricMatricesHaveASymmetricGradient) {
  const std::int64_t N = 13;
  std::vector<double> s(N * N), t(N * N);
  const auto values = random_values(2 * N * N);
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      s[i * N + j] = s[j * N + i] = values[i * N + j];
      t[i * N + j] = t[j * N + i] = values[N * N + i * N + j];
    }
  const auto g =
      to_doubles(run(make(s, {N, N}), make(t, {N, N}), {.coefficients = {1, 1, 1}}).dgram);
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j < i; ++j) EXPECT_EQ(g[i * N + j], g[j * N + i]);
}

TEST_P(GramCompareTest, ATeacherOfZerosIsNotDividedBy) {
  const Tensor s = make({1, 2}, {1, 2}), t = make({0, 0}, {1, 2});
  const GramCompareOutputs r = run(s, t, {.relative = true});
  expect_close(r.loss, {2.5}, tolerance());
  expect_close(r.scale, {1}, 0);
}

TEST_P(GramCompareTest, TheGradientMayTakeTheStudentsPlace) {
  for (const std::int64_t M : {20, 300, 1500}) {
    const Tensor t = make(random_values(3 * M, 1, 2), {3, M});
    GramCompareOutputs out;
    out.dgram = make(random_values(3 * M, 1, 1), {3, M});
    const GramCompareOptions options{.coefficients = {0.3, 0.5, 0.2}};
    const GramCompareOutputs apart = run(out.dgram.clone(), t, options);
    out.loss = apart.loss.clone(), out.scale = apart.scale.clone();
    gram_compare_forward_with_grad(out, out.dgram, t, options);
    EXPECT_TRUE(same_bytes(out.dgram, apart.dgram));
    EXPECT_TRUE(same_bytes(out.loss, apart.loss));
  }
}

TEST(GramCompare, SameBitsForThreadsAndInstructionSets) {
  for (const std::int64_t N : {50, 400})
    expect_same_bits([&] {
      const Tensor s = Tensor::from(random_values(N * N, 1, 1), {N, N}).to(DType::f32);
      const Tensor t = Tensor::from(random_values(N * N, 1, 2), {N, N}).to(DType::f32);
      const auto r = run(s, t, {.coefficients = {0.4, 0.3, 0.1}, .relative = true});
      return std::vector{r.loss, r.scale, r.dgram};
    });
}

TEST(GramCompare, Rejections) {
  const Tensor s = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2});
  expect_error([&] { run(Tensor::zeros({3}), s, {}); }, "gram_compare: student has shape (3)");
  expect_error(
      [&] {
        run(Tensor::zeros({0, 3}), Tensor::zeros({0, 3}), {});
      },
      "gram_compare: student has shape (0,3); expected (N,M) with N >= 1");
  expect_error([&] { run(s, wrong, {}); },
               "gram_compare: teacher is f32(3,2) on cpu, student f32(2,3) on cpu");
  expect_error([&] { run(s, s, {.coefficients = {1}}); },
               "gram_compare: 1 coefficients; expected 2 to 9");
  expect_error(
      [&] {
        run(s, s, {.coefficients = {1, std::nan("")}});
      },
      "gram_compare: a coefficient is nan; expected finite ones");
  expect_error([&] { run(s, s, {.mean_over = -1}); }, "gram_compare: mean_over is -1");
  GramCompareOutputs out{Tensor::zeros({1}), wrong, Tensor::zeros({1})};
  expect_error([&] { gram_compare_forward_with_grad(out, s, s, {}); },
               "gram_compare: dgram is f32(3,2)");
  out = {Tensor::zeros({2}), {}, Tensor::zeros({1})};
  expect_error([&] { gram_compare_forward_with_grad(out, s, s, {}); },
               "gram_compare: loss is f32(2)");
  out = {Tensor::zeros({1}), {}, {}};
  expect_error([&] { gram_compare_forward_with_grad(out, s, s, {}); },
               "gram_compare: scale is undefined; expected (1)");
}

}  // namespace
}  // namespace limbeck::testing

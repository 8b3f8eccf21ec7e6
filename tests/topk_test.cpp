// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/topk.h>

#include <limits>
#include <numeric>

#include <limbeck/kernels/log_sum.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

struct Result {
  Tensor values, indices, rest_lse;
};

Result run(const Tensor& logits, std::int64_t K, double tau) {
  const std::int64_t N = logits.dim(0);
  const DType dtype = logits.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r = {Tensor::full({N, K}, 777, dtype, logits.device()),
              Tensor::full({N, K}, 777, DType::i32, logits.device()),
              Tensor::full({N}, 777, dtype, logits.device())};
  topk(r.values, r.indices, r.rest_lse, logits, tau);
  return r;
}

// Sorts the whole row; the rest in long double.
void compare_row(const double* x, std::int64_t V, std::int64_t K, double tau, const double* values,
                 const std::int32_t* indices, double rest_lse, double tolerance) {
  std::vector<std::int32_t> order(V);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x[a] > x[b]; });
  for (std::int64_t k = 0; k < K; ++k) {
    ASSERT_EQ(indices[k], order[k]) << "place " << k << " of " << V;
    ASSERT_EQ(values[k], x[order[k]]) << "place " << k << " of " << V;
  }
  if (K == V) {
    EXPECT_EQ(rest_lse, -kInf);
    return;
  }
  long double sum = 0, max = x[order[K]];
  for (std::int64_t k = K; k < V; ++k) sum += std::exp((x[order[k]] - max) / tau);
  const double expected = static_cast<double>(max / tau + std::log(sum));
  EXPECT_NEAR(rest_lse, expected, tolerance * std::max(1.0, std::abs(expected))) << V << " " << K;
}

class TopkTest : public DeviceTest {
 protected:
  // rest_lse is f32 even of 16-bit logits: one rounding, and that of few exponentials.
  double lse_tolerance() const { return dtype() == DType::f64 ? 1e-14 : 3e-7; }

  void compare(const std::vector<double>& values, std::int64_t N, std::int64_t V, std::int64_t K,
               double tau) const {
    const Tensor x = make(values, {N, V});
    const Result r = run(x, K, tau);
    const auto xv = to_doubles(x), value = to_doubles(r.values), rest = to_doubles(r.rest_lse);
    const auto index = r.indices.to_vector<std::int32_t>();
    for (std::int64_t n = 0; n < N; ++n)
      compare_row(&xv[n * V], V, K, tau, &value[n * K], &index[n * K], rest[n], lse_tolerance());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(TopkTest);

TEST_P(TopkTest, HandNumbers) {
  // The two 3s in order; left are 2 ln 2 and 0, at tau 2: log(2 + 1).
  const Result r = run(make({3, 2 * std::log(2.0), 3, 0}, {1, 4}), 2, 2);
  expect_close(r.values, {3, 3}, 0);
  EXPECT_EQ(r.indices.to_vector<std::int32_t>(), (std::vector<std::int32_t>{0, 2}));
  expect_close(r.rest_lse, {std::log(3.0)}, tolerance());
}

TEST_P(TopkTest, MatchesSortingAtEveryWidth) {
  for (std::int64_t V : {1, 2, 10, 33, 128, 129, 300, 1000, 1501})
    for (std::int64_t K : {1, 2, 7, 64, 1000})
      if (K <= V) compare(random_values(3 * V, 9, 1), 3, V, K, 3);
  compare(random_values(17 * 10, 9, 1), 17, 10, 4, 3);
  compare(random_values(17 * 10, 9, 1), 17, 10, 10, 3);
  if (!device().is_cuda()) compare(random_values(262144, 9, 1), 1, 262144, 1024, 1);
}

TEST_P(TopkTest, MatchesSortingInEveryOrderOfTheRow) {
  for (std::int64_t V : {40, 1100})
    for (int order : {0, 1, 2, 3}) {
      std::vector<double> x;
      for (std::int64_t v = 0; v < V; ++v)  // ascending, descending, few values, all equal
        x.push_back(std::vector<double>{v / 8.0, -v / 8.0, v * 7 % 3 - 1.0, -2}[order]);
      for (std::int64_t K : {1, 20, 40}) compare(x, 1, V, K, 2);
    }
}

TEST_P(TopkTest, TheRestIsWeighedAtEveryTemperatureAndSize) {
  for (std::int64_t V : {10, 300})
    for (double tau : {0.5, 1.0, 20.0, 1000.0})
      for (double scale : {0.1, 30.0, 1e4}) {
        const std::int64_t N = V == 10 ? 17 : 2;
        compare(random_values(N * V, scale), N, V, 3, tau);
      }
  // What is left is far below what is taken: relative to the largest, it would be 0.
  compare({1000, 0, 1, -1}, 1, 4, 1, 1);
}

TEST_P(TopkTest, InfiniteLogitsAndBadRows) {
  for (std::int64_t V : {10, 1100}) {
    auto values = random_values(8 * V, 5, 1);
    values[4 * V + V - 1] = kInf;
    values[5 * V] = kNan;
    for (std::int64_t v = 2; v < V; ++v) values[6 * V + v] = -kInf;
    const Result r = run(make(values, {8, V}), 3, 2);
    const auto value = to_doubles(r.values), rest = to_doubles(r.rest_lse);
    const auto index = r.indices.to_vector<std::int32_t>();
    for (std::int64_t n = 0; n < 8; ++n) {
      const bool bad = n == 4 || n == 5;
      EXPECT_EQ(std::isnan(rest[n]), bad) << n;
      for (std::int64_t k = 0; k < 3; ++k) {
        EXPECT_EQ(std::isnan(value[n * 3 + k]), bad) << n;
        EXPECT_EQ(index[n * 3 + k] == -1, bad) << n;
      }
    }
    EXPECT_EQ(value[6 * 3 + 2], -kInf);
    EXPECT_EQ(index[6 * 3 + 2], 2);  // the first of them
    EXPECT_EQ(rest[6], -kInf);
  }
}

TEST_P(TopkTest, TheRestMayBeLeftOut) {
  const Tensor x = make(random_values(20 * 100, 5, 1), {20, 100});
  Result r = run(x, 5, 2);
  Tensor values = Tensor::zeros_like(r.values), indices = Tensor::zeros_like(r.indices), none;
  topk(values, indices, none, x, kNan);
  EXPECT_TRUE(same_bytes(values, r.values));
  EXPECT_TRUE(same_bytes(indices, r.indices));
}

TEST_P(TopkTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 10}), 3, 1).values.numel(), 0);
}

TEST(Topk, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t V : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = V == 10 ? 7000 : 100;
      const Tensor x = Tensor::from(random_values(N * V, 5, 1), {N, V}).to(DType::f32);
      const Result r = run(x, 7, 3);
      return std::vector{r.values, r.indices, r.rest_lse};
    });
}

TEST(Topk, LogarithmOfASum) {
  // std::log is within an ulp itself.
  for (double x : {1.0, 1 + 0x1p-40, 0.70710678, 1.41421357, 2.0, 1e5, 0x1p-1022, 1.7e308, 0.3})
    EXPECT_NEAR(log_of_sum(x), std::log(x), 1e-15 * std::max(1.0, std::abs(std::log(x)))) << x;
  EXPECT_TRUE(std::isnan(log_of_sum(kNan)));
  EXPECT_EQ(log_of_sum(kInf), kInf);
}

TEST(Topk, Rejections) {
  Tensor values = Tensor::zeros({2, 3}), indices = Tensor::zeros({2, 3}, DType::i32);
  Tensor rest = Tensor::zeros({2}), x = Tensor::zeros({2, 5});
  const auto call = [&](Tensor v, Tensor i, Tensor r, const Tensor& logits, double tau) {
    return [=]() mutable { topk(v, i, r, logits, tau); };
  };
  expect_error(call(values, indices, rest, Tensor::zeros({5}), 1), "topk: logits has shape (5)");
  expect_error(call(values, indices, rest, Tensor::zeros({2, 5}, DType::u8), 1),
               "topk: logits is u8; expected a floating dtype");
  expect_error(call(rest, indices, rest, x, 1), "topk: values has shape (2); expected (N,K)");
  expect_error(call(Tensor::zeros({2, 6}), indices, rest, x, 1),
               "topk: K is 6, logits has shape (2,5); expected K <= V and K <= 1024");
  expect_error(call(Tensor::zeros({2, 1025}), indices, rest, Tensor::zeros({2, 2000}), 1),
               "topk: K is 1025, logits has shape (2,2000); expected K <= V and K <= 1024");
  expect_error(call(Tensor::zeros({1, 3}), indices, rest, x, 1),
               "topk: values is f32(1,3) on cpu; expected f32(2,3) on cpu");
  expect_error(call(values, values, rest, x, 1),
               "topk: indices is f32(2,3) on cpu; expected i32(2,3) on cpu");
  expect_error(call(values, indices, Tensor::zeros({3}), x, 1),
               "topk: rest_lse is f32(3) on cpu; expected f32(2) on cpu");
  expect_error(call(values, indices, rest, x, 0), "topk: tau is 0; expected > 0");
}

}  // namespace
}  // namespace limbeck::testing

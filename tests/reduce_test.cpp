// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/reduce.h>

#include <cmath>
#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class ReduceTest : public DeviceTest {
 protected:
  DType sum_dtype() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  double sum_of(const Tensor& x) const {
    Tensor s = Tensor::full({1}, 777, sum_dtype(), device());
    sum(s, x);
    return s.item();
  }
  int finite(const Tensor& x) const {
    Tensor flag = Tensor::full({1}, 7, DType::i32, device());
    all_finite(flag, x);
    return static_cast<int>(flag.item());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ReduceTest);

TEST_P(ReduceTest, HandNumbers) {
  const Tensor x = make({1, 2, 3, 4, 5, 6.5}, {2, 3});
  EXPECT_EQ(sum_of(x), 21.5);
  Tensor s = make_like({3});
  sum_rows(s, x);
  expect_close(s, {5, 7, 9.5}, 0);
  sum_rows(s, x, Out::add);
  expect_close(s, {10, 14, 19}, 0);
}

TEST_P(ReduceTest, SumAtEverySize) {
  for (std::int64_t n : {0, 1, 15, 16, 17, 31, 32, 33, 255, 256, 257, 1000, 32769, 100000}) {
    const Tensor x = make(random_values(n, 1, 1), {n});
    double expected = 0, magnitude = 0;
    for (double v : to_doubles(x)) {
      expected += v;
      magnitude += std::abs(v);
    }
    // Relative to the sum of magnitudes: signs cancel in the result, not in its rounding error.
    EXPECT_NEAR(sum_of(x), expected, std::min(tolerance(), 2e-6) * magnitude) << n;
  }
}

TEST_P(ReduceTest, SumOfOnesIsExact) {
  EXPECT_EQ(sum_of(Tensor::full({1 << 20}, 1, dtype(), device())), 1 << 20);
}

TEST_P(ReduceTest, SumRowsAtEverySize) {
  // On a GPU 129 rows and more are summed in slabs.
  for (std::int64_t C : {1, 10, 31, 32, 33, 255, 257, 1000})
    for (std::int64_t N : {0, 1, 3, 128, 129, 300}) {
      const Tensor x = make(random_values(N * C, 1, 1), {N, C});
      const auto values = to_doubles(x);
      std::vector<double> expected(static_cast<std::size_t>(C));
      for (std::int64_t i = 0; i < N * C; ++i) expected[i % C] += values[i];
      Tensor s = make_like({C});
      sum_rows(s, x);
      expect_close(s, expected, tolerance(), x.shape().str());
      Tensor wide = Tensor::full({C}, 1, sum_dtype(), device());
      sum_rows(wide, x, Out::add);
      for (double& e : expected) e += 1;
      expect_close(wide, expected, tolerance(), x.shape().str() + " added");
    }
}

TEST_P(ReduceTest, SumRowsOfFloatsMayBeRounded) {
  if (dtype() == DType::f64) return;
  const Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4}, {2, 2}, device());
  Tensor s = make({1, 1}, {2});
  sum_rows(s, x, Out::add);
  expect_close(s, {5, 7}, 0);
}

TEST_P(ReduceTest, SumRowsOfMoreThanEverySlabIsExact) {
  const std::int64_t N = 33000;  // a GPU makes 256 slabs of 128 rows, or longer ones
  std::vector<double> values;
  for (std::int64_t n = 0; n < N; ++n) values.push_back(static_cast<double>(n % 4) - 1);
  Tensor s = Tensor::full({1}, 777, sum_dtype(), device());
  sum_rows(s, make(values, {N, 1}));
  expect_close(s, {N / 2.0}, 0);
}

TEST_P(ReduceTest, AllFiniteSeesEveryElement) {
  const double bad[] = {std::nan(""), std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity()};
  for (std::int64_t n : {1, 31, 33, 1000}) {
    auto values = random_values(n, dtype() == DType::f16 ? 6e4 : 1e30, 1);
    EXPECT_EQ(finite(make(values, {n})), 1) << n;
    for (std::int64_t at : {std::int64_t{0}, n / 2, n - 1})
      for (double b : bad) {
        const double before = values[at];
        values[at] = b;
        EXPECT_EQ(finite(make(values, {n})), 0) << b << " at " << at << " of " << n;
        values[at] = before;
      }
  }
  EXPECT_EQ(finite(make({}, {0})), 1);
}

TEST(Reduce, SumOverRowBlocksEqualsTheWhole) {
  const Tensor x = Tensor::from(random_values(128 * 300), {128, 300}).to(DType::f32);
  Tensor whole = Tensor::empty({300}), parts = Tensor::empty({300});
  sum_rows(whole, x);
  sum_rows(parts, x.rows(0, 37));
  sum_rows(parts, x.rows(37, 128), Out::add);
  EXPECT_TRUE(same_bytes(whole, parts));
}

TEST(Reduce, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor x = Tensor::from(random_values(300 * 1000), {300, 1000}).to(DType::f32);
    Tensor s = Tensor::empty({1}), columns = Tensor::empty({1000});
    sum(s, x);
    sum_rows(columns, x);
    return std::vector{s, columns};
  });
}

TEST(Reduce, Rejections) {
  Tensor s = Tensor::zeros({1}), x = Tensor::zeros({2, 3}), flag = Tensor::zeros({1}, DType::i32);
  Tensor columns = Tensor::zeros({3});
  const Tensor integers = Tensor::zeros({2, 3}, DType::i32);
  expect_error([&] { sum(s, Tensor()); }, "sum: x is undefined");
  expect_error([&] { sum(s, integers); }, "sum: x is i32; expected a floating dtype");
  expect_error([&] { sum(columns, x); }, "sum: s is f32(3); expected one f32");
  expect_error([&] { sum(s, Tensor::zeros({3}, DType::f64)); },
               "sum: s is f32(1); expected one f64");
  expect_error([&] { sum_rows(columns, Tensor::zeros({6})); },
               "sum_rows: x has shape (6); expected (N,C)");
  expect_error([&] { sum_rows(s, x); },
               "sum_rows: s is f32(1), x f32(2,3); expected (3) of x's dtype or f32");
  expect_error([&] { sum_rows(columns, integers); }, "sum_rows: x is i32");
  expect_error([&] { all_finite(s, x); }, "all_finite: flag is f32(1); expected one i32");
  expect_error([&] { all_finite(flag, integers); }, "all_finite: x is i32");
}

}  // namespace
}  // namespace limbeck::testing

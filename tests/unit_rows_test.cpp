// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_rows.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  Tensor y, norm, dx;
};

Result run(const Tensor& x, const Tensor& dy) {
  const DType statistics = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r;
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.norm = Tensor::full({x.dim(0)}, 777, statistics, x.device());
  unit_rows_forward(r.y, r.norm, x);
  unit_rows_backward(r.dx, dy, r.y, r.norm);
  return r;
}

class UnitRowsTest : public DeviceTest {
 protected:
  void compare(std::int64_t N, std::int64_t D) const {
    const Tensor x = make(random_values(N * D, 3, 1), {N, D});
    const Tensor dy = make(random_values(N * D, 1, 2), {N, D});
    const auto in = to_doubles(x), grad = to_doubles(dy);
    std::vector<double> y, dx, norm;
    for (std::int64_t n = 0; n < N; ++n) {
      double squares = 0, along = 0;
      for (std::int64_t d = n * D; d < (n + 1) * D; ++d) squares += in[d] * in[d];
      norm.push_back(std::sqrt(squares));
      for (std::int64_t d = n * D; d < (n + 1) * D; ++d) along += grad[d] * in[d] / norm.back();
      for (std::int64_t d = n * D; d < (n + 1) * D; ++d) {
        y.push_back(in[d] / norm.back());
        dx.push_back((grad[d] - y.back() * along) / norm.back());
      }
    }
    const Result r = run(x, dy);
    const std::string what = x.shape().str();
    expect_close(r.norm, norm, 2e-6, what + " norm");  // never rounded to 16 bits
    expect_close(r.y, y, tolerance(), what + " y");
    // Of rounded directions.
    expect_close(r.dx, dx, 2 * tolerance(), what + " dx");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitRowsTest);

// (3,4) is 5 long: y = (0.6,0.8). dy = (5,0), 3 of it along y: dx = (5 - 1.8, -2.4) / 5.
TEST_P(UnitRowsTest, HandNumbers) {
  const Result r = run(make({3, 4}, {1, 2}), make({5, 0}, {1, 2}));
  expect_close(r.norm, {5}, 2e-6);
  expect_close(r.y, {0.6, 0.8}, tolerance());
  expect_close(r.dx, {0.64, -0.48}, 2 * tolerance());
}

TEST_P(UnitRowsTest, MatchesDefinitionAtEveryWidth) {
  for (const std::int64_t D : {2, 31, 32, 33, 100, 129, 257, 513, 600}) compare(D < 40 ? 9 : 3, D);
  compare(3, 1501);  // rows at every offset from a multiple of 16 bytes
}

TEST_P(UnitRowsTest, ARowOfLengthZeroStaysZero) {
  const Result r = run(make({0, 0, 0, 3, 0, 4}, {2, 3}), make({1, 2, 3, 1, 0, 0}, {2, 3}));
  expect_close(r.norm, {0, 5}, 2e-6);
  expect_close(r.y, {0, 0, 0, 0.6, 0, 0.8}, tolerance());
  expect_close(r.dx, {0, 0, 0, 0.128, 0, -0.096}, 2 * tolerance());
  EXPECT_EQ(to_doubles(r.dx)[0], 0);
}

TEST_P(UnitRowsTest, LengthsOfRowsDoNotMatterAndGradientsAreAcross) {
  const std::int64_t N = 4, D = 50;
  auto values = random_values(N * D, 1, 1);
  const Tensor x = make(values, {N, D}), dy = make(random_values(N * D, 1, 2), {N, D});
  for (double& v : values) v *= 8;
  const Result a = run(x, dy), b = run(make(values, {N, D}), dy);
  EXPECT_TRUE(same_bytes(a.y, b.y));  // a power of two changes exponents only
  const auto y = to_doubles(a.y), dx = to_doubles(a.dx);
  for (std::int64_t n = 0; n < N; ++n) {
    double along = 0, size = 0;
    for (std::int64_t d = n * D; d < (n + 1) * D; ++d)
      along += y[d] * dx[d], size += std::abs(y[d] * dx[d]);
    EXPECT_NEAR(along, 0, 2 * tolerance() * size);
  }
}

TEST_P(UnitRowsTest, NotANumberSpoilsItsRowOnly) {
  const Tensor x = make({1, std::nan(""), 3, 4}, {2, 2});
  const auto y = to_doubles(run(x, x).y);
  EXPECT_TRUE(std::isnan(y[0]) && std::isnan(y[1]));
  EXPECT_FALSE(std::isnan(y[2]) || std::isnan(y[3]));
}

TEST_P(UnitRowsTest, MayWriteOverItsInput) {
  for (const std::int64_t D : {10, 300, 1500}) {
    Tensor x = make(random_values(3 * D, 5, 1), {3, D});
    Tensor dy = make(random_values(3 * D, 1, 2), {3, D});
    const Result r = run(x, dy);
    Tensor norm = r.norm.clone();
    unit_rows_forward(x, norm, x);
    EXPECT_TRUE(same_bytes(x, r.y));
    unit_rows_backward(dy, dy, r.y, r.norm);
    EXPECT_TRUE(same_bytes(dy, r.dx));
  }
}

TEST_P(UnitRowsTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 3}), make({}, {0, 3})).y.numel(), 0);
}

TEST(UnitRows, SameBitsForThreadsAndInstructionSets) {
  for (const std::int64_t D : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = D == 10 ? 7000 : 100;
      const Tensor x = Tensor::from(random_values(N * D, 5, 1), {N, D}).to(DType::f32);
      const Result r = run(x, Tensor::from(random_values(N * D, 1, 2), {N, D}).to(DType::f32));
      return std::vector{r.y, r.norm, r.dx};
    });
}

TEST(UnitRows, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2}), norm = Tensor::zeros({2});
  expect_error([&] { unit_rows_forward(x, norm, norm); },
               "unit_rows_forward: x has shape (2); expected (N,V) with V >= 1");
  expect_error([&] { unit_rows_forward(wrong, norm, x); },
               "unit_rows_forward: y is f32(3,2) on cpu, x f32(2,3) on cpu; expected equal ones");
  Tensor three = Tensor::zeros({3});
  expect_error([&] { unit_rows_forward(x, three, x); },
               "unit_rows_forward: norm is f32(3) on cpu, x f32(2,3) on cpu; expected f32(2)");
  expect_error([&] { unit_rows_backward(x, wrong, x, norm); },
               "unit_rows_backward: dy is f32(3,2)");
  expect_error([&] { unit_rows_backward(wrong, x, x, norm); },
               "unit_rows_backward: dx is f32(3,2)");
  expect_error([&] { unit_rows_backward(x, x, x, three); }, "unit_rows_backward: norm is f32(3)");
}

}  // namespace
}  // namespace limbeck::testing

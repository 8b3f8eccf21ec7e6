// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/pair_squares.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Values = std::vector<double>;

/// N^2 numbers that are symmetric.
Values symmetric(std::int64_t N, double scale = 1) {
  Values g = random_values(N * N, scale, 3);
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j < i; ++j) g[i * N + j] = g[j * N + i];
  return g;
}

class PairSquaresTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x) const {
    Tensor squares = Tensor::full({x.dim(0), x.dim(0)}, 777, DType::f64, device());
    pair_squares_forward(squares, x);
    return squares;
  }
  Tensor backward(const Tensor& x, const Values& dsquares, double factor = 1) const {
    const DType full = dtype() == DType::f64 ? DType::f64 : DType::f32;
    Tensor dx = make_like(x.shape());
    pair_squares_backward(dx, x, Tensor::from(dsquares, {x.dim(0), x.dim(0)}).to(device()),
                          Tensor::full({1}, factor, full, device()));
    return dx;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(PairSquaresTest);

// (0,0), (3,4) and (0,1): 25, 1 and 9 + 9. With slopes 1, 2 and 3 of these and half of all:
// dx_0 = 1 (-3,-4) + 2 (0,-1), dx_1 = 1 (3,4) + 3 (3,3), dx_2 = 2 (0,1) + 3 (-3,-3).
TEST_P(PairSquaresTest, HandNumbers) {
  const Tensor x = make({0, 0, 3, 4, 0, 1}, {3, 2});
  EXPECT_EQ(to_doubles(forward(x)), Values({0, 25, 1, 25, 0, 18, 1, 18, 0}));
  EXPECT_EQ(to_doubles(backward(x, {0, 1, 2, 1, 0, 3, 2, 3, 0}, 0.5)),
            Values({-3, -6, 12, 13, -9, -7}));
}

TEST_P(PairSquaresTest, MatchesDefinitionAtEverySize) {
  struct Size {
    std::int64_t N, D;
  };
  // Rows that do not fill a group of four, and more than a warp; columns that do not fill a tile.
  for (const auto& [N, D] : {Size{1, 3}, Size{2, 1}, Size{5, 31}, Size{6, 33}, Size{8, 64},
                             Size{11, 130}, Size{38, 20}}) {
    // A scale that is no power of two: differences of f32s that are not f32s.
    const Tensor x = make(random_values(N * D, 0.3, 1), {N, D});
    const Values v = to_doubles(x), g = symmetric(N);
    Values squares(static_cast<std::size_t>(N * N)), dx(static_cast<std::size_t>(N * D));
    for (std::int64_t i = 0; i < N; ++i)
      for (std::int64_t j = 0; j < N; ++j)
        for (std::int64_t d = 0; d < D; ++d) {
          const double difference = v[i * D + d] - v[j * D + d];
          squares[i * N + j] += difference * difference;
          dx[i * D + d] += 2 * 0.7 * g[i * N + j] * difference;
        }
    const std::string what = detail::concat("N ", N, " D ", D);
    expect_close(forward(x), squares, 1e-14, what);  // f64, whatever x is
    if (N > 1) expect_close(backward(x, g, 0.7), dx, tolerance(), what);
  }
}

TEST_P(PairSquaresTest, SymmetricAndTheSameElsewhere) {
  Values v = random_values(9 * 40, 8, 1);
  for (double& value : v) value = std::round(value);  // so that moving them is exact
  const Tensor x = make(v, {9, 40}), squares = forward(x);
  const Values q = to_doubles(squares);
  for (std::size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(q[i * 9 + i], 0);
    for (std::size_t j = 0; j < i; ++j) EXPECT_EQ(q[i * 9 + j], q[j * 9 + i]);
  }
  for (double& value : v) value += 100;
  EXPECT_TRUE(same_bytes(forward(make(v, {9, 40})), squares));
}

TEST_P(PairSquaresTest, MovingAllRowsIsNoGradient) {
  const Tensor x = make(random_values(7 * 6, 1, 1), {7, 6});
  const Values dx = to_doubles(backward(x, symmetric(7)));
  for (std::size_t d = 0; d < 6; ++d) {
    double sum = 0;
    for (std::size_t n = 0; n < 7; ++n) sum += dx[n * 6 + d];
    EXPECT_NEAR(sum, 0, 40 * tolerance());  // seven numbers up to 10, rounded
  }
}

// Two rows that are all but equal have large slopes by their distances from a third one, which
// cancel for that: by 2^22 here, so that sums in f32 would leave it nothing.
TEST_P(PairSquaresTest, OppositeSlopesCancelInDouble) {
  const double big = 0x1p22 + 1;
  const Tensor x = make({0, 1, 3}, {3, 1});
  const Tensor dx =
      backward(x, {0, 0, 3 * big, 0, 0, -4.5 * big + 0.25, 3 * big, -4.5 * big + 0.25, 0});
  EXPECT_EQ(to_doubles(dx)[2], 1);
}

TEST_P(PairSquaresTest, TheFactorComesBeforeRounding) {
  const Tensor x = make(random_values(5 * 6, 1, 1), {5, 6});
  // What would be nothing in f16.
  EXPECT_TRUE(same_bytes(backward(x, symmetric(5, 0x1p-40), 0x1p40), backward(x, symmetric(5))));
}

TEST_P(PairSquaresTest, NoRows) {
  expect_no_launch();
  const Tensor x = make({}, {0, 3});
  EXPECT_EQ(forward(x).numel(), 0);
  EXPECT_EQ(backward(x, {}).numel(), 0);
}

TEST(PairSquares, GradientInDoubleIsTheSlope) {
  const std::int64_t N = 6, D = 5;
  Tensor x = Tensor::from(random_values(N * D, 1, 1), {N, D}), dx = Tensor::empty_like(x);
  Tensor squares = Tensor::empty({N, N}, DType::f64);
  const Values g = symmetric(N);
  pair_squares_backward(dx, x, Tensor::from(g, {N, N}), Tensor::full({1}, 1, DType::f64));
  Values slopes;
  for (std::int64_t k = 0; k < N * D; ++k) {
    double& v = x.data<double>()[k];
    const double kept = v, h = 1e-4;
    const auto at = [&](double value) {
      v = value;
      pair_squares_forward(squares, x);
      double sum = 0;  // of every pair once
      for (std::int64_t i = 0; i < N; ++i)
        for (std::int64_t j = 0; j < i; ++j) sum += g[i * N + j] * to_doubles(squares)[i * N + j];
      return sum;
    };
    slopes.push_back((at(kept + h) - at(kept - h)) / (2 * h));
    v = kept;
  }
  expect_close(dx, slopes, 1e-10);  // exact for squares but for rounding, over h
}

TEST(PairSquares, SameBitsForThreadsAndInstructionSets) {
  for (const DType dtype : {DType::f32, DType::f64})
    expect_same_bits([&] {
      const Tensor x = Tensor::from(random_values(19 * 70, 1, 1), {19, 70}).to(dtype);
      Tensor squares = Tensor::empty({19, 19}, DType::f64), dx = Tensor::empty_like(x);
      pair_squares_forward(squares, x);
      pair_squares_backward(dx, x, squares, Tensor::full({1}, 0.3, dtype));
      return std::vector{squares, dx};
    });
}

TEST(PairSquares, Rejections) {
  const Tensor x = Tensor::zeros({2, 3}), one = Tensor::zeros({1});
  Tensor good = Tensor::zeros({2, 2}, DType::f64), single = Tensor::zeros({2, 2}), none;
  Tensor dx = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 3});
  expect_error([&] { pair_squares_forward(good, one); },
               "pair_squares_forward: x has shape (1); expected (N,V)");
  expect_error([&] { pair_squares_forward(single, x); },
               "pair_squares_forward: squares is f32(2,2) on cpu; expected f64(2,2) on cpu");
  expect_error([&] { pair_squares_forward(none, x); },
               "pair_squares_forward: squares is undefined; expected (2,2)");
  expect_error([&] { pair_squares_backward(wrong, x, good, one); },
               "pair_squares_backward: dx is f32(3,3) on cpu, x f32(2,3) on cpu");
  expect_error([&] { pair_squares_backward(dx, x, wrong, one); },
               "pair_squares_backward: dsquares is f32(3,3) on cpu; expected f64(2,2) on cpu");
  expect_error([&] { pair_squares_backward(dx, x, good, x); },
               "pair_squares_backward: factor is f32(2,3) on cpu");
}

}  // namespace
}  // namespace limbeck::testing

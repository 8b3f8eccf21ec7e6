// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/row_squares.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  Tensor q, dx;
};

/// The gradient is that of half the sum of q^2.
Result run(const Tensor& x) {
  const DType full = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r{Tensor::full({x.dim(0)}, 777, full, x.device()),
           Tensor::full(x.shape(), 777, x.dtype(), x.device())};
  row_squares_forward(r.q, x);
  row_squares_backward(r.dx, r.q, x);
  return r;
}

class RowSquaresTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(RowSquaresTest);

// 1 + 4 and 9; gradients 2 q x.
TEST_P(RowSquaresTest, HandNumbers) {
  const Result r = run(make({1, 2, 0, -3}, {2, 2}));
  expect_close(r.q, {5, 9}, tolerance());
  expect_close(r.dx, {10, 20, 0, -54}, tolerance());
}

TEST_P(RowSquaresTest, MatchesDefinitionAtEveryWidth) {
  for (const std::int64_t C : {1, 31, 32, 33, 100, 129, 257, 600, 1501}) {
    const std::int64_t N = C < 40 ? 9 : 3;
    const Tensor x = make(random_values(N * C, 1, 1), {N, C});
    const auto in = to_doubles(x);
    std::vector<double> q(static_cast<std::size_t>(N)), dx;
    for (std::size_t i = 0; i < in.size(); ++i) q[i / C] += in[i] * in[i];
    for (std::size_t i = 0; i < in.size(); ++i) dx.push_back(2 * q[i / C] * in[i]);
    const Result r = run(x);
    expect_close(r.q, q, 2e-6, x.shape().str());  // never rounded to 16 bits
    expect_close(r.dx, dx, tolerance(), x.shape().str());
  }
}

TEST_P(RowSquaresTest, TheGradientMayTakeTheInputsPlace) {
  for (const std::int64_t C : {10, 300, 1500}) {
    Tensor x = make(random_values(3 * C), {3, C});
    const Result r = run(x);
    row_squares_backward(x, r.q, x);
    EXPECT_TRUE(same_bytes(x, r.dx));
  }
}

TEST_P(RowSquaresTest, NoRows) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 3})).q.numel(), 0);
}

TEST(RowSquares, SameBitsForThreadsAndInstructionSets) {
  for (const std::int64_t C : {10, 3000})
    expect_same_bits([&] {
      const std::int64_t N = C == 10 ? 7000 : 100;
      const Result r = run(Tensor::from(random_values(N * C, 5), {N, C}).to(DType::f32));
      return std::vector{r.q, r.dx};
    });
}

TEST(RowSquares, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2}), q = Tensor::zeros({2});
  Tensor three = Tensor::zeros({3});
  expect_error([&] { row_squares_forward(q, q); }, "row_squares_forward: x has shape (2)");
  expect_error([&] { row_squares_forward(three, x); }, "row_squares_forward: q is f32(3)");
  expect_error([&] { row_squares_backward(wrong, q, x); }, "row_squares_backward: dx is f32(3,2)");
  expect_error([&] { row_squares_backward(x, three, x); }, "row_squares_backward: dq is f32(3)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/unit_columns.h>

#include <limbeck/kernels/unit_rows.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Result {
  Tensor y, norm, dx;
};

Result run(const Tensor& x, const Tensor& dy) {
  const DType full = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r;
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.norm = Tensor::full({x.dim(0), x.dim(2)}, 777, full, x.device());
  unit_columns_forward(r.y, r.norm, x);
  unit_columns_backward(r.dx, dy, r.y, r.norm);
  return r;
}

/// (N,P,C) as (N,C,P).
Tensor turned(const Tensor& x) {
  const std::int64_t N = x.dim(0), P = x.dim(1), C = x.dim(2);
  const auto values = to_doubles(x);
  std::vector<double> out(values.size());
  for (std::int64_t n = 0; n < N; ++n)
    for (std::int64_t p = 0; p < P; ++p)
      for (std::int64_t c = 0; c < C; ++c)
        out[static_cast<std::size_t>((n * C + c) * P + p)] =
            values[static_cast<std::size_t>((n * P + p) * C + c)];
  return Tensor::from(out, {N, C, P}).to(x.dtype()).to(x.device());
}

class UnitColumnsTest : public DeviceTest {
 protected:
  // The rows of the turned matrix are another kernel's.
  void compare(const Shape& shape) const {
    const Tensor x = make(random_values(shape.numel(), 3, 1), shape);
    const Tensor dy = make(random_values(shape.numel(), 1, 2), shape);
    const std::int64_t rows = shape[0] * shape[2], P = shape[1];
    Tensor y = make_like({rows, P}), dx = make_like({rows, P});
    Tensor norm = Tensor::empty({rows}, dtype() == DType::f64 ? DType::f64 : DType::f32, device());
    unit_rows_forward(y, norm, turned(x).reshape({rows, P}));
    unit_rows_backward(dx, turned(dy).reshape({rows, P}), y, norm);
    const Result r = run(x, dy);
    expect_close(r.norm, to_doubles(norm), 2e-6, shape.str() + " norm");
    expect_close(turned(r.y), to_doubles(y), tolerance(), shape.str() + " y");
    expect_close(turned(r.dx), to_doubles(dx), 2 * tolerance(), shape.str() + " dx");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(UnitColumnsTest);

// Columns (3,4) and (0,2): norms 5 and 2; of dy (5,0) the part along (0.6,0.8) is 3.
TEST_P(UnitColumnsTest, HandNumbers) {
  const Result r = run(make({3, 0, 4, 2}, {1, 2, 2}), make({5, 1, 0, 1}, {1, 2, 2}));
  expect_close(r.norm, {5, 2}, 2e-6);
  expect_close(r.y, {0.6, 0, 0.8, 1}, tolerance());
  expect_close(r.dx, {0.64, 0.5, -0.48, 0}, 2 * tolerance());
}

TEST_P(UnitColumnsTest, MatchesUnitRowsAtEveryShape) {
  for (const Shape& shape :
       {Shape{3, 1, 5}, Shape{2, 9, 1}, Shape{2, 7, 33}, Shape{3, 16, 64}, Shape{2, 20, 130}})
    compare(shape);
}

TEST_P(UnitColumnsTest, AColumnOfLengthZeroStaysZero) {
  const Result r = run(make({0, 3, 0, 4}, {1, 2, 2}), make({1, 1, 2, 0}, {1, 2, 2}));
  expect_close(r.y, {0, 0.6, 0, 0.8}, tolerance());
  expect_close(r.dx, {0, 0.128, 0, -0.096}, 2 * tolerance());
  expect_close(r.norm, {0, 5}, 2e-6);
}

TEST_P(UnitColumnsTest, MayWriteOverItsInput) {
  Tensor x = make(random_values(2 * 9 * 40, 5, 1), {2, 9, 40});
  Tensor dy = make(random_values(2 * 9 * 40, 1, 2), {2, 9, 40});
  const Result r = run(x, dy);
  Tensor norm = r.norm.clone();
  unit_columns_forward(x, norm, x);
  EXPECT_TRUE(same_bytes(x, r.y));
  unit_columns_backward(dy, dy, r.y, r.norm);
  EXPECT_TRUE(same_bytes(dy, r.dx));
}

TEST_P(UnitColumnsTest, NoSamples) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 3, 2}), make({}, {0, 3, 2})).y.numel(), 0);
}

TEST(UnitColumns, SameBitsForThreadsAndInstructionSets) {
  for (const Shape& shape : {Shape{300, 16, 10}, Shape{10, 50, 200}})
    expect_same_bits([&] {
      const Tensor x = Tensor::from(random_values(shape.numel(), 5, 1), shape).to(DType::f32);
      const Result r = run(x, Tensor::from(random_values(shape.numel()), shape).to(DType::f32));
      return std::vector{r.y, r.norm, r.dx};
    });
}

TEST(UnitColumns, Rejections) {
  Tensor x = Tensor::zeros({2, 3, 4}), wrong = Tensor::zeros({3, 2, 4}),
         norm = Tensor::zeros({2, 4});
  Tensor other = Tensor::zeros({4});
  expect_error([&] { unit_columns_forward(x, norm, norm); },
               "unit_columns_forward: x has shape (2,4); expected (N,P,C) with P and C >= 1");
  expect_error([&] { unit_columns_forward(wrong, norm, x); },
               "unit_columns_forward: y is f32(3,2,4)");
  expect_error([&] { unit_columns_forward(x, other, x); },
               "unit_columns_forward: norm is f32(4) on cpu, x f32(2,3,4) on cpu; expected");
  expect_error([&] { unit_columns_backward(x, wrong, x, norm); },
               "unit_columns_backward: dy is f32(3,2,4)");
  expect_error([&] { unit_columns_backward(wrong, x, x, norm); },
               "unit_columns_backward: dx is f32(3,2,4)");
}

}  // namespace
}  // namespace limbeck::testing

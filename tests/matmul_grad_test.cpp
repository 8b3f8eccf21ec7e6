// SPDX-License-Identifier: Apache-2.0
// Tests of the matrix product as a differentiable op.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

Tensor matrix(std::int64_t rows, std::int64_t cols, Trans trans, std::uint64_t seed) {
  const Shape shape = trans == Trans::yes ? Shape{cols, rows} : Shape{rows, cols};
  return Tensor::from(random_values(rows * cols, 1, seed), shape);
}

// A product is linear in each factor, so the difference has no bias: 1e-8 leaves room for its
// noise.
TEST(MatmulGrad, EveryTransposition) {
  for (const Trans ta : {Trans::no, Trans::yes})
    for (const Trans tb : {Trans::no, Trans::yes}) {
      const GradCheckResult result =
          grad_check([=](std::span<const Variable> v) { return matmul(v[0], ta, v[1], tb); },
                     {matrix(2, 3, ta, 1), matrix(3, 4, tb, 2)});
      EXPECT_LT(result.error, 1e-8) << result.where;
    }
}

TEST(MatmulGrad, AMatrixTimesItself) {
  const auto square = [](std::span<const Variable> v) {
    return matmul(v[0], Trans::no, v[0], Trans::yes);
  };
  const GradCheckResult result = grad_check(square, {matrix(3, 3, Trans::no, 1)});
  EXPECT_LT(result.error, 1e-8) << result.where;
}

TEST(MatmulGrad, Rejections) {
  const Variable a(Tensor::zeros({2, 3})), v(Tensor::zeros({3}));
  expect_error([&] { matmul(a, Trans::no, v, Trans::no); },
               "matmul: a has shape (2,3), b (3); expected two matrices");
}

}  // namespace
}  // namespace limbeck::testing

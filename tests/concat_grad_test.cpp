// SPDX-License-Identifier: Apache-2.0
// Tests of joining and splitting as differentiable ops.
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/concat.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ConcatGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ConcatGradTest);

TEST_P(ConcatGradTest, HandNumbers) {
  const Variable a(make({1, 2}, {2, 1}), true), b(make({3, 4, 5, 6}, {2, 2}), true);
  concat({a, b, a}, 1).backward(make({1, 2, 3, 4, 5, 6, 7, 8}, {2, 4}));
  expect_close(a.grad(), {5, 13}, 0);
  expect_close(b.grad(), {2, 3, 6, 7}, 0);
}

TEST_P(ConcatGradTest, SplitIsTheInverse) {
  const Variable x(make(random_values(3 * 7), {3, 7}), true);
  const Tensor dy = make(random_values(3 * 7, 1, 2), {3, 7});
  const Variable y = concat(split(x, {2, 4, 1}, -1), -1);
  EXPECT_TRUE(same_bytes(x.value(), y.value()));
  y.backward(dy.clone());
  EXPECT_TRUE(same_bytes(x.grad(), dy));
}

TEST_P(ConcatGradTest, WhatIsNotTakenGetsNoGradient) {
  const Variable x(make({1, 2, 3, 4, 5, 6}, {3, 2}), true);
  slice(x, 0, 1, 2).backward(make({7, 8}, {1, 2}));
  expect_close(x.grad(), {0, 0, 7, 8, 0, 0}, 0);
}

TEST(ConcatGrad, Gradient) {  // 1e-6: h^2 f'''/6, that is nothing but rounding here
  const Tensor x = Tensor::from(random_values(12), {2, 3, 2});
  const Tensor z = Tensor::from(random_values(8, 1, 2), {2, 2, 2});
  const auto result = grad_check(
      [](auto v) {
        const Variable both = concat({v[0], v[1]}, 1);
        return mul(slice(both, 1, 0, 3), slice(both, 1, 2, 5));
      },
      {x, z});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(ConcatGrad, Rejections) {
  const Variable x(Tensor::zeros({2, 3}));
  expect_error([&] { concat(std::vector<Variable>{}, 0); }, "concat: there are 0 parts");
  expect_error(
      [&] {
        concat({x, Variable(Tensor::zeros({2}))}, 0);
      },
      "concat: a part has shape (2), the first (2,3)");
  expect_error([&] { slice(x, 1, 2, 4); }, "slice: elements 2 to 4 of 3 along axis 1");
  expect_error([&] { split(x, {1, 1}, -1); }, "split: the sizes add up to 2, x has shape (2,3)");
  expect_error([&] { split(x, {1, 1}, -3); }, "split: axis is -3 of (2,3); expected -2 to 1");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of the matrix product per sample as a differentiable op.
#include <limbeck/autograd/batched_matmul.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class BatchedMatmulTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(BatchedMatmulTest);

// (1,2)(3,4)^T = 11 and (5,6)(7,8)^T = 83; gradients 2 and 3 times the other factor.
TEST_P(BatchedMatmulTest, HandNumbers) {
  const Variable a(make({1, 2, 5, 6}, {2, 1, 2}), true), b(make({3, 4, 7, 8}, {2, 1, 2}), true);
  const Variable c = batched_matmul(a, Trans::no, b, Trans::yes);
  expect_close(c.value(), {11, 83}, tolerance());
  c.backward(make({2, 3}, {2, 1, 1}));
  expect_close(a.grad(), {6, 8, 21, 24}, tolerance());
  expect_close(b.grad(), {2, 4, 15, 18}, tolerance());
}

TEST_P(BatchedMatmulTest, IsMatmulSampleBySample) {
  for (const Trans ta : {Trans::no, Trans::yes})
    for (const Trans tb : {Trans::no, Trans::yes}) {
      const Shape sa = ta == Trans::no ? Shape{3, 4, 5} : Shape{3, 5, 4};
      const Shape sb = tb == Trans::no ? Shape{3, 5, 6} : Shape{3, 6, 5};
      const Variable a(make(random_values(60, 1, 1), sa), true);
      const Variable b(make(random_values(90, 1, 2), sb), true);
      const Tensor dc = make(random_values(72, 1, 3), {3, 4, 6});
      const Variable c = batched_matmul(a, ta, b, tb);
      c.backward(dc);
      for (std::int64_t n = 0; n < 3; ++n) {
        const auto one = [n](const Tensor& t) {
          return t.rows(n, n + 1).reshape({t.dim(1), t.dim(2)});
        };
        const Variable an(one(a.value()), true), bn(one(b.value()), true);
        const Variable cn = matmul(an, ta, bn, tb);
        cn.backward(one(dc));
        EXPECT_TRUE(same_bytes(one(c.value()), cn.value()));
        EXPECT_TRUE(same_bytes(one(a.grad()), an.grad()));
        EXPECT_TRUE(same_bytes(one(b.grad()), bn.grad()));
      }
    }
}

TEST(BatchedMatmul, Gradient) {  // quadratic: only rounding, 1e-12 / h
  const Tensor x = Tensor::from(random_values(24, 1, 1), {2, 3, 4});
  for (const Trans first : {Trans::no, Trans::yes}) {
    const Trans second = first == Trans::no ? Trans::yes : Trans::no;
    const auto result =
        grad_check([&](auto v) { return batched_matmul(v[0], first, v[0], second); }, {x});
    EXPECT_LT(result.error, 1e-7) << result.where;
  }
}

TEST(BatchedMatmul, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor x = Tensor::from(random_values(40 * 20 * 30), {40, 20, 30}).to(DType::f32);
    const Variable v(x, true), c = batched_matmul(v, Trans::no, v, Trans::yes);
    c.backward(c.value());
    return std::vector{c.value(), v.grad()};
  });
}

TEST(BatchedMatmul, Rejections) {
  const Variable x(Tensor::zeros({2, 3, 4})), other(Tensor::zeros({3, 3, 4}));
  expect_error([&] { batched_matmul(x, Trans::no, other, Trans::yes); },
               "batched_matmul: a has shape (2,3,4), b (3,3,4); expected as many matrices in both");
  expect_error([&] { batched_matmul(x, Trans::no, x, Trans::no); }, "matmul: ");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of attention and the rotary embedding as differentiable ops.
#include <limbeck/autograd/attention.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/rotary.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class AttentionGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(AttentionGradTest);

// Equal scores: p = 1/2 each. With v = (2,4): y = 3; from dy = 1: dv = 1/2 each, dS = p (v - y) =
// (-1/2,1/2), dk = dS q with q = 1, dq = dS . k = 0 with equal keys; scale 1.
TEST_P(AttentionGradTest, HandNumbers) {
  const Variable q(make({1}, {1, 1, 1, 1}), true), k(make({3, 3}, {1, 2, 1, 1}), true),
      v(make({2, 4}, {1, 2, 1, 1}), true);
  const Variable y = attention(q, k, v, {}, {.scale = 1});
  expect_close(y.value(), {3}, tolerance());
  y.backward(make({1}, {1, 1, 1, 1}));
  EXPECT_NEAR(to_doubles(q.grad())[0], 0, tolerance());
  expect_close(k.grad(), {-0.5, 0.5}, tolerance());
  expect_close(v.grad(), {0.5, 0.5}, tolerance());
}

// A turn by 1 radian: dx is dy turned back.
TEST_P(AttentionGradTest, RotaryHandNumbers) {
  const DType wide = dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Variable x(make({1, 0}, {1, 1, 1, 2}), true);
  const Variable y = rotary(x, rotary_table(1, 2, {.offset = 1}, wide, device()), 1);
  expect_close(y.value(), {std::cos(1.0), std::sin(1.0)}, tolerance());
  y.backward(make({1, 0}, {1, 1, 1, 2}));
  expect_close(x.grad(), {std::cos(1.0), -std::sin(1.0)}, tolerance());
}

Tensor random(const Shape& shape, std::uint64_t seed) {
  return Tensor::from(random_values(shape.numel(), 1, seed), shape);
}

TEST(AttentionGrad, Gradient) {  // 1e-6: h^2 f'''/6
  for (const bool causal : {false, true})
    for (const AttentionDropout& dropout : {AttentionDropout{}, {0.4, {.seed = 3}, 0}})
      for (const Tensor& lengths : {Tensor(), Tensor::from(std::vector<std::int32_t>{3, 5}, {2})}) {
        const GradCheckResult result = grad_check(
            [&](std::span<const Variable> v) {
              return attention(v[0], v[1], v[2], lengths, {.causal = causal, .dropout = dropout});
            },
            {random({2, 4, 4, 3}, 1), random({2, 5, 2, 3}, 2), random({2, 5, 2, 3}, 3)});
        EXPECT_LT(result.error, 1e-6) << result.where;
      }
}

TEST(AttentionGrad, PackedGradientBehindARotation) {
  const Tensor table = rotary_table(4, 6, {}, DType::f64);
  const GradCheckResult result = grad_check(
      [&](std::span<const Variable> v) {
        return packed_attention(rotary(v[0], table, 3), 1, {}, {.causal = true});
      },
      {random({2, 4, 4, 6}, 1)});
  EXPECT_LT(result.error, 1e-6) << result.where;
}

TEST(AttentionGrad, RefusesAPackWithoutQueries) {
  expect_error(
      [] {
        packed_attention(Variable(Tensor::zeros({1, 2, 4, 3})), 2);
      },
      "packed_attention: qkv has shape (1,2,4,3) with 2 heads of keys; expected");
}

}  // namespace
}  // namespace limbeck::testing

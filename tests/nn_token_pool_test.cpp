// SPDX-License-Identifier: Apache-2.0
// SelectToken, MeanTokens and the differentiable op below them.
#include <limbeck/nn/token_pool.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/token_pool.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(TokenPoolLayers, FollowTheLengthsOfTheContext) {
  const Variable x(Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3, 1}));
  Context all, some;
  some.lengths = Tensor::from(std::vector<std::int32_t>{2, 3}, {2});
  SelectToken first(TokenPool::first), last(TokenPool::last);
  MeanTokens mean;
  expect_close(first.forward(x, some).value(), {1, 4}, 0);
  expect_close(last.forward(x, all).value(), {3, 6}, 0);
  expect_close(last.forward(x, some).value(), {2, 6}, 0);
  expect_close(mean.forward(x, all).value(), {2, 5}, 0);
  expect_close(mean.forward(x, some).value(), {1.5, 5}, 0);
}

TEST(TokenPoolLayers, Gradient) {  // linear: exact but for rounding
  const Tensor lengths = Tensor::from(std::vector<std::int32_t>{2, 3}, {2});
  const Tensor x = Tensor::from(random_values(12), {2, 3, 2});
  for (const TokenPool pool : {TokenPool::first, TokenPool::last, TokenPool::mean}) {
    const auto result = grad_check([&](auto v) { return token_pool(v[0], lengths, pool); }, {x});
    EXPECT_LT(result.error, 1e-8) << result.where;
  }
}

TEST(TokenPoolLayers, ShapesAndRejections) {
  const SelectToken last(TokenPool::last);
  EXPECT_EQ(last.output_shape({2, 3, 4}), Shape({2, 4}));
  expect_error(
      [&] {
        last.output_shape(Shape{2, 3});
      },
      "SelectToken(last): input has shape (2,3); expected (N,T,D) with T >= 1");
  expect_error([] { MeanTokens().output_shape(Shape{2, 0, 4}); }, "MeanTokens: input has shape");
  expect_error([] { SelectToken pool(TokenPool::mean); }, "SelectToken: a mean is no token");
  expect_error(
      [] {
        token_pool(Variable(Tensor::zeros({2, 3})), {}, TokenPool::mean);
      },
      "token_pool: x has shape (2,3); expected (N,T,D)");
}

}  // namespace
}  // namespace limbeck::testing

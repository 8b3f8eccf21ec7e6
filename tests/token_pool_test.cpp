// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/token_pool.h>

#include <cmath>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr TokenPool kPools[] = {TokenPool::first, TokenPool::last, TokenPool::mean};

class TokenPoolTest : public DeviceTest {
 protected:
  Tensor lengths(const std::vector<std::int32_t>& values) const {
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(TokenPoolTest);

// Two sequences of the tokens (1,2), (3,4), of which the second has one token.
TEST_P(TokenPoolTest, HandNumbers) {
  const Tensor x = make({1, 2, 3, 4, 1, 2, 3, 4}, {2, 2, 2}), dy = make({2, 4, 6, 8}, {2, 2});
  const std::vector<double> y[] = {{1, 2, 1, 2}, {3, 4, 1, 2}, {2, 3, 1, 2}};
  const std::vector<double> dx[] = {
      {2, 4, 0, 0, 6, 8, 0, 0}, {0, 0, 2, 4, 6, 8, 0, 0}, {1, 2, 1, 2, 6, 8, 0, 0}};
  for (int i = 0; i < 3; ++i) {
    Tensor out = make_like({2, 2}), grad = make_like({2, 2, 2});
    token_pool_forward(out, x, lengths({2, 1}), kPools[i]);
    expect_close(out, y[i], 0);
    token_pool_backward(grad, dy, lengths({2, 1}), kPools[i]);
    expect_close(grad, dx[i], 0);
  }
}

// Pooling is a product with weights of the tokens, and backward one with their transpose.
TEST_P(TokenPoolTest, MatchesAProductWithWeights) {
  const std::int64_t N = 3, T = 5, D = 70;
  const std::vector<std::int32_t> length[] = {{5, 1, 3}, {5, 5, 5}};
  const Tensor x = make(random_values(N * T * D), {N, T, D});
  const Tensor dy = make(random_values(N * D, 1, 2), {N, D});
  const auto in = to_doubles(x), grad = to_doubles(dy);
  for (const bool full : {false, true})
    for (const TokenPool pool : kPools) {
      std::vector<double> y(N * D), dx(N * T * D);
      for (std::int64_t n = 0; n < N; ++n)
        for (std::int64_t t = 0; t < T; ++t) {
          const int L = length[full][n];
          const double weight = pool == TokenPool::first  ? t == 0
                                : pool == TokenPool::last ? t == L - 1
                                                          : (t < L) * (1.0 / L);
          for (std::int64_t c = 0; c < D; ++c) {
            y[n * D + c] += weight * in[(n * T + t) * D + c];
            dx[(n * T + t) * D + c] = weight * grad[n * D + c];
          }
        }
      Tensor out = make_like({N, D}), back = make_like({N, T, D});
      const Tensor given = full ? Tensor() : lengths(length[0]);
      token_pool_forward(out, x, given, pool);
      expect_close(out, y, tolerance());
      token_pool_backward(back, dy, given, pool);
      expect_close(back, dx, tolerance());
    }
}

TEST_P(TokenPoolTest, LengthsOutOfRange) {
  const Tensor x = make({1, 2, 3, 4}, {2, 2, 1}), bad = lengths({1, 3}), none = lengths({0, 1});
  Tensor y = make_like({2, 1}), dx = make_like({2, 2, 1});
  if (!device().is_cuda()) {
    expect_error([&] { token_pool_forward(y, x, bad, TokenPool::last); },
                 "token_pool_forward: length 1 is 3; expected 1 to 2");
    expect_error([&] { token_pool_backward(dx, y, none, TokenPool::mean); },
                 "token_pool_backward: length 0 is 0; expected 1 to 2");
    return;
  }
  token_pool_forward(y, x, bad, TokenPool::last);
  EXPECT_EQ(to_doubles(y)[0], 1);
  EXPECT_TRUE(std::isnan(to_doubles(y)[1]));
  token_pool_backward(dx, make({1, 1}, {2, 1}), none, TokenPool::mean);
  EXPECT_TRUE(std::isnan(to_doubles(dx)[0]));
  EXPECT_EQ(to_doubles(dx)[2], 1);
}

TEST(TokenPool, SameBitsForThreadsAndInstructionSets) {
  const Tensor x = Tensor::from(random_values(40 * 21 * 130), {40, 21, 130}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({40, 130}), dx = Tensor::empty({40, 21, 130});
    token_pool_forward(y, x, Tensor(), TokenPool::mean);
    token_pool_backward(dx, y, Tensor(), TokenPool::mean);
    return std::vector{y, dx};
  });
}

TEST(TokenPool, Rejections) {
  Tensor y = Tensor::zeros({2, 4}), x = Tensor::zeros({2, 3, 4});
  const auto forward = [](Tensor out, const Tensor& in, const Tensor& lengths) {
    return [=]() mutable { token_pool_forward(out, in, lengths, TokenPool::mean); };
  };
  expect_error(forward(Tensor(), x, {}), "token_pool_forward: a tensor is undefined");
  expect_error(forward(y, y, {}), "token_pool_forward: the tokens are f32(2,4); expected");
  expect_error(forward(y, Tensor::zeros({2, 0, 4}), {}), "(N,T,D) with T >= 1");
  expect_error(forward(Tensor::zeros({2, 3}), x, {}),
               "token_pool_forward: the pooled are f32(2,3) on cpu, the tokens f32(2,3,4) on cpu");
  expect_error(forward(y, x, Tensor::zeros({2})),
               "token_pool_forward: lengths is f32(2) on cpu; expected i32(2) on cpu");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Tests of looking up rows as a differentiable op.
#include <limbeck/autograd/embedding.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class EmbeddingGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(EmbeddingGradTest);

// A row looked up is a product with its one-hot row, and so is the gradient.
TEST_P(EmbeddingGradTest, IsAProductWithOneHotRows) {
  const std::vector<std::int32_t> tokens = {2, 0, 2, 1, 2};
  std::vector<double> one_hot(5 * 4);
  for (std::size_t n = 0; n < tokens.size(); ++n) one_hot[4 * n + tokens[n]] = 1;
  const Variable w(make(random_values(4 * 3), {4, 3}), true);
  const Variable same(make(random_values(4 * 3), {4, 3}), true);
  const Variable y = embedding(w, Tensor::from(tokens, {5}, device()));
  const Variable product = matmul(Variable(make(one_hot, {5, 4})), Trans::no, same, Trans::no);
  expect_close(y.value(), to_doubles(product.value()), 0);
  const Tensor dy = make(random_values(5 * 3, 1, 2), {5, 3});
  y.backward(dy.clone());
  product.backward(dy.clone());
  expect_close(w.grad(), to_doubles(same.grad()), tolerance());
}

TEST(EmbeddingGrad, Gradient) {  // linear: exact but for rounding
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{1, 0, 1, 3, 1, 0}, {2, 3});
  const Tensor weight = Tensor::from(random_values(5 * 2), {5, 2});
  const auto result = grad_check([&](auto v) { return embedding(v[0], ids); }, {weight});
  EXPECT_LT(result.error, 1e-8) << result.where;
}

TEST(EmbeddingGrad, GradientsOfTwoUsesAddAndPaddingHasNone) {
  const Tensor ids = Tensor::from(std::vector<std::int32_t>{1, 0}, {2});
  const Variable w(Tensor::from(random_values(4), {2, 2}), true);
  for (int use = 0; use < 2; ++use)
    embedding(w, ids, 0).backward(Tensor::from(std::vector<double>{1, 2, 3, 4}, {2, 2}));
  expect_close(w.grad(), {0, 0, 2, 4}, 0);
}

TEST(EmbeddingGrad, Rejections) {
  const Tensor ids = Tensor::zeros({2}, DType::i32);
  expect_error([&] { embedding(Variable(Tensor::zeros({2})), ids); },
               "embedding: weight has shape (2); expected (V,D)");
  expect_error(
      [&] {
        embedding(Variable(Tensor::zeros({2, 3})), ids, 2);
      },
      "embedding: padding_idx is 2; expected -1 to 1");
}

}  // namespace
}  // namespace limbeck::testing

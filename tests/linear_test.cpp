// SPDX-License-Identifier: Apache-2.0
// Tests of the fully connected layer as a differentiable op.
#include <limbeck/autograd/linear.h>

#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr Activation kActivations[] = {Activation::none, Activation::relu, Activation::gelu,
                                       Activation::tanh, Activation::sigmoid};

class LinearTest : public DeviceTest {
 protected:
  Variable leaf(const Shape& shape, std::uint64_t seed) const {
    return Variable(make(random_values(shape.numel(), 1, seed), shape), true);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(LinearTest);

// x = (1,2), w = ((3,4),(5,-6)), b = (0.5,1): x w^T + b = (11.5,-6), relu (11.5,0).
// From dy = (1,1), relu lets (1,0) through: dx = (3,4), dw = ((1,2),(0,0)), db = (1,0).
TEST_P(LinearTest, HandNumbers) {
  const Variable x(make({1, 2}, {1, 2}), true), w(make({3, 4, 5, -6}, {2, 2}), true);
  const Variable b(make({0.5, 1}, {2}), true);
  const Variable y = linear(x, w, b, Activation::relu);
  expect_close(y.value(), {11.5, 0}, tolerance());
  y.backward(make({1, 1}, {1, 2}));
  expect_close(x.grad(), {3, 4}, tolerance());
  expect_close(w.grad(), {1, 2, 0, 0}, tolerance());
  expect_close(b.grad(), {1, 0}, tolerance());
}

// Against product, bias and activation as separate ops. The bias is added as one more input that is
// always 1. 4 times the tolerance: three roundings more on each side, of values a few times larger.
TEST_P(LinearTest, FusedEqualsComposed) {
  for (const Activation act : kActivations)
    for (const std::int64_t N : {1, 33}) {
      const Variable x = leaf({N, 17}, 1), w = leaf({9, 17}, 2), b = leaf({9}, 3);
      const Variable bias_column(make(to_doubles(b.value()), {9, 1}), true);
      const Variable ones(Tensor::full({N, 1}, 1, dtype(), device()));
      const Tensor dy = make(random_values(N * 9, 1, 4), {N, 9});
      const Variable fused = linear(x, w, b, act);
      fused.backward(dy);
      const Variable x2(x.value(), true), w2(w.value(), true);
      const Variable composed = activation(add(matmul(x2, Trans::no, w2, Trans::yes),
                                               matmul(ones, Trans::no, bias_column, Trans::yes)),
                                           act);
      composed.backward(dy);
      const std::string what(activation_name(act));
      const double bound = 4 * tolerance();
      expect_close(fused.value(), to_doubles(composed.value()), bound, what);
      expect_close(x.grad(), to_doubles(x2.grad()), bound, what);
      expect_close(w.grad(), to_doubles(w2.grad()), bound, what);
      expect_close(b.grad(), to_doubles(bias_column.grad()), bound, what);
    }
}

TEST_P(LinearTest, WithoutGradientsTheValueIsTheSame) {
  for (const Activation act : kActivations) {
    const Variable x = leaf({5, 17}, 1), w = leaf({9, 17}, 2), b = leaf({9}, 3);
    const Tensor recorded = linear(x, w, b, act).value();
    const NoGrad no_grad;
    EXPECT_TRUE(same_bytes(linear(x, w, b, act).value(), recorded)) << activation_name(act);
  }
}

// 1e-6: h^2 f'''/6 with h = 1e-4 and derivatives of size 1; relu's kink is 1e-4 away from no sum.
TEST(Linear, Gradients) {
  for (const Activation act : kActivations) {
    const std::vector<Tensor> inputs = {Tensor::from(random_values(15, 1, 1), {3, 5}),
                                        Tensor::from(random_values(20, 1, 2), {4, 5}),
                                        Tensor::from(random_values(4, 1, 3), {4})};
    const auto with_bias = grad_check(
        [act](std::span<const Variable> v) { return linear(v[0], v[1], v[2], act); }, inputs);
    EXPECT_LT(with_bias.error, 1e-6) << activation_name(act) << " " << with_bias.where;
    const auto without = grad_check(
        [act](std::span<const Variable> v) { return linear(v[0], v[1], Variable(), act); }, inputs);
    EXPECT_LT(without.error, 1e-6) << activation_name(act) << " " << without.where;
  }
}

/// Gradients of w and b after forward and backward of x's rows in parts of `part`.
std::vector<Tensor> gradients_in_parts(std::int64_t part) {
  const std::int64_t N = 128;
  const Tensor x = Tensor::from(random_values(N * 70), {N, 70}).to(DType::f32);
  const Tensor dy = Tensor::from(random_values(N * 40, 1, 2), {N, 40}).to(DType::f32);
  const Variable w(Tensor::from(random_values(40 * 70, 1, 3), {40, 70}).to(DType::f32), true);
  const Variable b(Tensor::zeros({40}), true);
  for (std::int64_t begin = 0; begin < N; begin += part)
    linear(Variable(x.rows(begin, begin + part)), w, b, Activation::tanh)
        .backward(dy.rows(begin, begin + part));
  return {w.grad(), b.grad()};
}

TEST(Linear, MicroBatchesGiveTheBitsOfTheWholeBatch) {
  const std::vector<Tensor> whole = gradients_in_parts(128);
  for (const std::int64_t part : {1, 32, 64}) {
    const std::vector<Tensor> parts = gradients_in_parts(part);
    EXPECT_TRUE(same_bytes(parts[0], whole[0])) << part;
    EXPECT_TRUE(same_bytes(parts[1], whole[1])) << part;
  }
}

TEST(Linear, SameBitsForEveryThreadCountAndIsa) {
  expect_same_bits([] { return gradients_in_parts(128); });
}

TEST(Linear, NoRows) {
  const Variable w(Tensor::full({2, 3}, 1), true), b(Tensor::full({2}, 1), true);
  const Variable y = linear(Variable(Tensor::empty({0, 3})), w, b, Activation::relu);
  EXPECT_EQ(y.shape(), Shape({0, 2}));
  y.backward(Tensor::empty({0, 2}));
  expect_close(w.grad(), std::vector<double>(6, 0.0), 0);
  expect_close(b.grad(), {0, 0}, 0);
}

TEST(Linear, Rejections) {
  const Variable x(Tensor::zeros({2, 3})), w(Tensor::zeros({4, 5}));
  expect_error([&] { linear(x, w, Variable()); },
               "linear: x has shape (2,3), weight (4,5); expected (N,I) and (O,I)");
  expect_error([&] { linear(Variable(Tensor::zeros({3})), w, Variable()); },
               "linear: x has shape (3)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/activation.h>

#include <cmath>
#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr Activation kAll[] = {Activation::none,      Activation::relu,    Activation::gelu,
                               Activation::tanh,      Activation::sigmoid, Activation::silu,
                               Activation::gelu_tanh, Activation::relu6,   Activation::hardswish};

double value(Activation act, double x) {
  switch (act) {
    case Activation::none:
      return x;
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_tanh:
      return x * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::relu6:
      return std::min(std::max(x, 0.0), 6.0);
    case Activation::hardswish:
      return x * std::min(std::max(x + 3, 0.0), 6.0) / 6;
  }
  return 0;
}

class ActivationTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, Activation act) const {
    Tensor y = make_like(x.shape());
    activation_forward(y, x, act);
    return y;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ActivationTest);

TEST_P(ActivationTest, HandNumbers) {
  const Tensor x = make({-2, 0, 1}, {3}), dy = make({1, 2, 3}, {3});
  expect_close(forward(x, Activation::relu), {0, 0, 1}, tolerance());
  // Phi(1) = 0.8413447460685429, Phi(-2) = 0.0227501319481792.
  expect_close(forward(x, Activation::gelu), {-0.0455002638963584, 0, 0.8413447460685429},
               tolerance());
  expect_close(forward(x, Activation::tanh), {-0.964027580075817, 0, 0.761594155955765},
               tolerance());
  expect_close(forward(x, Activation::sigmoid), {0.119202922022118, 0.5, 0.731058578630005},
               tolerance());
  // x s(x), with s(1) as above; torch's gelu(approximate="tanh"); 1 * 4 / 6.
  expect_close(forward(x, Activation::silu), {-0.238405844044235, 0, 0.731058578630005},
               tolerance());
  expect_close(forward(x, Activation::gelu_tanh), {-0.0454023059122249, 0, 0.841191990608276},
               tolerance());
  expect_close(forward(x, Activation::hardswish), {-1.0 / 3, 0, 2.0 / 3}, tolerance());
  expect_close(forward(make({-2, 4, 7}, {3}), Activation::relu6), {0, 4, 6}, tolerance());
  Tensor dx = make_like({3});
  activation_backward(dx, dy, make({0, 6, 4}, {3}), Activation::relu6);
  expect_close(dx, {0, 0, 3}, tolerance());
  activation_backward(dx, dy, make({-3, 0, 3}, {3}), Activation::hardswish);  // 0, 1/2, 1
  expect_close(dx, {0, 1, 3}, tolerance());
  activation_backward(dx, dy, make({0, 0, 1}, {3}), Activation::relu);
  expect_close(dx, {0, 0, 3}, tolerance());
  activation_backward(dx, dy, make({-1, 0.5, 0}, {3}), Activation::tanh);  // dy (1 - y^2)
  expect_close(dx, {0, 1.5, 3}, tolerance());
  activation_backward(dx, dy, make({0, 0.5, 0.75}, {3}), Activation::sigmoid);  // dy y (1 - y)
  expect_close(dx, {0, 0.5, 0.5625}, tolerance());
}

TEST_P(ActivationTest, MatchesDefinitionAtEverySize) {
  for (Activation act : kAll)
    for (std::int64_t n : {0, 1, 31, 32, 33, 1000, 100000}) {
      auto values = random_values(n, 8, 1);
      if (n > 0) values[0] = 2;  // 1 + erf cancels for negative x: errors are relative to max|x|
      const Tensor x = make(values, {n});
      std::vector<double> expected;
      for (double v : to_doubles(x)) expected.push_back(value(act, v));
      expect_close(forward(x, act), expected, tolerance(), std::string(activation_name(act)));
    }
}

TEST_P(ActivationTest, BackwardIsTheDerivativeOfForward) {
  const double h = 1e-5;
  for (Activation act : kAll)
    for (std::int64_t n : {1, 33, 100000}) {
      auto values = random_values(n, 4, 1);
      values[0] = 0.5;  // where no derivative cancels: errors are relative to max|dx|
      for (double& v : values)
        if (std::abs(std::abs(v) - 3) < 0.02) v = 2;  // no difference across hardswish's kinks
      const Tensor x = make(values, {n}), dy = make(random_values(n, 1, 2), {n});
      const Tensor saved = activation_saves_input(act) ? x : forward(x, act);
      Tensor dx = make_like({n});
      activation_backward(dx, dy, saved, act);
      const auto xv = to_doubles(x), dyv = to_doubles(dy);
      std::vector<double> expected;
      for (std::size_t i = 0; i < xv.size(); ++i)
        expected.push_back(dyv[i] * (value(act, xv[i] + h) - value(act, xv[i] - h)) / (2 * h));
      // h^2 for the difference; and the saved output's rounding, once more.
      expect_close(dx, expected, 2 * tolerance() + 1e-9, std::string(activation_name(act)));
    }
}

TEST_P(ActivationTest, LimitsAndNan) {
  const double inf = std::numeric_limits<double>::infinity();
  const Tensor x = make({-inf, -1e30, 1e30, inf, std::nan("")}, {5});
  for (Activation act : {Activation::relu, Activation::tanh, Activation::sigmoid}) {
    const auto y = to_doubles(forward(x, act));
    EXPECT_EQ(y[0], act == Activation::tanh ? -1 : 0);
    EXPECT_EQ(y[1], y[0]);
    if (act != Activation::relu) {
      EXPECT_EQ(y[2], 1);
      EXPECT_EQ(y[3], 1);
    }
    EXPECT_TRUE(std::isnan(y[4]));
  }
}

TEST_P(ActivationTest, MayWriteOverItsInput) {
  for (Activation act : kAll) {
    Tensor x = make(random_values(100, 4, 1), {100}), dy = make(random_values(100, 1, 2), {100});
    const Tensor y = forward(x, act);
    Tensor dx = make_like({100});
    activation_backward(dx, dy, y, act);
    activation_forward(x, x, act);
    activation_backward(dy, dy, y, act);
    EXPECT_TRUE(same_bytes(x, y));
    EXPECT_TRUE(same_bytes(dy, dx));
  }
}

TEST(Activation, SameBitsForThreadsAndInstructionSets) {
  for (Activation act : kAll)
    expect_same_bits([&] {
      const Tensor x = Tensor::from(random_values(100000, 6, 1), {100000}).to(DType::f32);
      Tensor y = Tensor::empty_like(x), dx = Tensor::empty_like(x);
      activation_forward(y, x, act);
      activation_backward(dx, x, y, act);
      return std::vector{y, dx};
    });
}

TEST(Activation, NamesAreReadBack) {
  for (Activation act : kAll) EXPECT_EQ(parse_activation(activation_name(act)), act);
  expect_error([] { parse_activation("swish"); },
               "activation 'swish'; expected none, relu, gelu, tanh, sigmoid, silu, "
               "gelu_tanh, relu6 or hardswish");
}

TEST(Activation, Rejections) {
  Tensor x = Tensor::zeros({3}), wrong = Tensor::zeros({4}), undefined;
  Tensor labels = Tensor::zeros({3}, DType::i32);
  const Activation act = Activation::relu;
  expect_error([&] { activation_forward(undefined, x, act); },
               "activation_forward: y is undefined");
  expect_error([&] { activation_forward(labels, labels, act); },
               "activation_forward: y is i32; expected a floating dtype");
  expect_error([&] { activation_forward(x, wrong, act); },
               "activation_forward: x is f32(4) on cpu, y f32(3) on cpu; expected equal ones");
  expect_error([&] { activation_backward(undefined, x, x, act); }, "dx is undefined");
  expect_error([&] { activation_backward(x, wrong, x, act); },
               "activation_backward: dy is f32(4) on cpu, dx f32(3) on cpu");
  expect_error([&] { activation_backward(x, x, wrong, act); },
               "activation_backward: saved is f32(4) on cpu, dx f32(3) on cpu");
}

}  // namespace
}  // namespace limbeck::testing

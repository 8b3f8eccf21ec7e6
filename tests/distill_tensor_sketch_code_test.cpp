// SPDX-License-Identifier: Apache-2.0
// Codes that are tensor sketches: what they estimate, and who learns to predict them.
#include <limbeck/distill/tensor_sketch_code.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/linear.h>
#include <limbeck/autograd/sketch.h>
#include <limbeck/kernels/elementwise.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class TensorSketchCodeTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(TensorSketchCodeTest);

void set(const NamedParameter& parameter, const std::vector<double>& values) {
  Variable p = parameter.value;
  p.value().copy_from(Tensor::from(values, p.shape()).to(p.value().dtype()));
}

// One bucket, degree 1: a sketch is +-x +-c. Whatever the signs, an adapter (a,b) of one channel s
// and its sketch v predicts a s + b v; with (3,0), bias 1 and s = 2 that is 7.
TEST_P(TensorSketchCodeTest, HandNumbers) {
  TensorSketchCode technique({1}, {1}, {.degree = 1, .K = 1, .gamma = 4, .constant = 9}, dtype(),
                             device());
  const Tensor code = technique.encode(make({5}, {1, 1}));
  const double c = to_doubles(code)[0];  // +-2*5 +-3
  EXPECT_TRUE(std::abs(std::abs(c) - 13) < 1e-5 || std::abs(std::abs(c) - 7) < 1e-5) << c;
  set(technique.parameters()[0], {3, 0});
  set(technique.parameters()[1], {1});
  const Variable s(make({2}, {1, 1}), true);
  const Variable loss = technique.loss(s, code, 1);
  loss.backward();
  expect_close(loss.value(), {(7 - c) * (7 - c)}, 4 * tolerance());
  expect_close(s.grad(), {2 * (7 - c) * 3}, 4 * tolerance());
}

TEST_P(TensorSketchCodeTest, IsItsFormulaInOrdinaryOps) {
  TensorSketchCodeOptions options{.degree = 2, .K = 6, .gamma = 0.5, .constant = 1, .seed = 7};
  options.mean = Tensor::from(random_values(4, 1, 5), {4});
  options.variance = Tensor::full({4}, 0.25, DType::f64);
  TensorSketchCode technique({4, 4, 3}, {2, 2, 4}, options, dtype(), device());
  EXPECT_EQ(technique.code_shape(), (Shape{4, 6}));
  const Tensor s = random({2, 4, 4, 3}, 1), t = random({2, 2, 2, 4}, 2);
  std::vector<double> standard = to_doubles(t);
  for (std::size_t i = 0; i < standard.size(); ++i)
    standard[i] = (standard[i] - random_values(4, 1, 5)[i % 4]) / std::sqrt(0.25 + 1e-5);
  const auto plan = [&](std::int64_t C, std::uint32_t layer) {
    return tensor_sketch_plan(C, 6, {.degree = 2, .gamma = 0.5, .c = 1, .seed = 7, .layer = layer},
                              device());
  };
  const Variable code = tensor_sketch(Variable(make(standard, {8, 4})), plan(4, 0));
  expect_close(technique.encode(t), to_doubles(code.value()), 8 * tolerance());
  const Variable rows = tap_rows(Variable(s), {2, 2});
  const Variable sketch = tensor_sketch(rows, plan(3, 1));
  // [s; TS'(s)] in plain loops.
  std::vector<double> joined;
  for (std::size_t n = 0; n < 8; ++n) {
    for (std::size_t c = 0; c < 3; ++c) joined.push_back(to_doubles(rows.value())[n * 3 + c]);
    for (std::size_t k = 0; k < 6; ++k) joined.push_back(to_doubles(sketch.value())[n * 6 + k]);
  }
  const auto adapter = technique.parameters();
  const Variable predicted =
      linear(Variable(make(joined, {8, 9})), adapter[0].value, adapter[1].value);
  const Variable gap = sub(predicted, code);
  const Variable receiver(s, true);
  const Variable loss = technique.loss(receiver, technique.encode(t), 2);
  expect_close(loss.value(), to_doubles(mean(mul(gap, gap)).value()), 8 * tolerance());
  loss.backward();
  EXPECT_EQ(receiver.grad().shape(), s.shape());
  EXPECT_EQ(technique.describe(), "tensor_sketch_code(degree 2, 4 -> 6)");
}

TEST_P(TensorSketchCodeTest, PartsOfABatchAddUpAndTheSourceGetsNoGradient) {
  const Tensor s = random({5, 4}, 1), t = random({5, 3}, 2);
  TensorSketchCode whole({4}, {3}, {}, dtype(), device()), parts({4}, {3}, {}, dtype(), device());
  const Variable all(s, true), first(s.rows(0, 2), true), rest(s.rows(2, 5), true), source(t, true);
  whole.loss(all, whole.encode(source.value()), 5).backward();
  parts.loss(first, parts.encode(t.rows(0, 2)), 5).backward();
  parts.loss(rest, parts.encode(t.rows(2, 5)), 5).backward();
  EXPECT_TRUE(same_bytes(first.grad(), all.grad().rows(0, 2)));
  EXPECT_TRUE(same_bytes(rest.grad(), all.grad().rows(2, 5)));
  expect_close(parts.parameters()[0].value.grad(), to_doubles(whole.parameters()[0].value.grad()),
               8 * tolerance());
  EXPECT_FALSE(source.grad().defined());
  EXPECT_TRUE(whole.per_sample());
}

// Products of codes over seeds: (t.t'/C + 1)^degree on average, within four standard errors; for
// degree 1 K times their variance is |x|^2 |y|^2 + (x.y)^2 - 2 sum x_i^2 y_i^2 of the vectors with
// the constant, within 5 %: 30000 seeds give it to 1 %.
TEST(TensorSketchCode, CodesEstimateThePolynomialKernel) {
  const std::int64_t C = 10, K = 16;
  const std::vector<double> t = random_values(2 * C, 2, 3);
  double dot = 1, x = 1, y = 1, fourth = 1;
  for (std::size_t i = 0; i < 10; ++i) {
    const double a = t[i], b = t[10 + i];
    dot += a * b / 10, x += a * a / 10, y += b * b / 10, fourth += a * a * b * b / 100;
  }
  for (const int degree : {1, 2, 3}) {
    const int seeds = degree == 1 ? 30000 : 3000;
    double sum = 0, squares = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      const TensorSketchCode technique(
          {1}, {C}, {.degree = degree, .K = K, .seed = static_cast<std::uint64_t>(seed)},
          DType::f64);
      const std::vector<double> code = to_doubles(technique.encode(Tensor::from(t, {2, C})));
      double product = 0;
      for (std::size_t k = 0; k < 16; ++k) product += code[k] * code[16 + k];
      sum += product, squares += product * product;
    }
    const double mean = sum / seeds, variance = squares / seeds - mean * mean;
    EXPECT_NEAR(mean, std::pow(dot, degree), 4 * std::sqrt(variance / seeds)) << degree;
    if (degree > 1) continue;
    const double expected = x * y + dot * dot - 2 * fourth;
    EXPECT_NEAR(static_cast<double>(K) * variance, expected, 0.05 * expected);
  }
}

// The source's product of two channels is no linear function of the receiver's, which has the two;
// with the sketch it is predicted better.
TEST(TensorSketchCode, ProductsOfTheReceiverHelp) {
  const std::int64_t N = 200;
  const Tensor s = Tensor::from(random_values(2 * N, 1, 1), {N, 2});
  const auto fitted = [&](int degree) {
    TensorSketchCode technique({2}, {2}, {.degree = degree, .K = 8, .gamma = 1}, DType::f64);
    TensorSketchCode target({2}, {2}, {.degree = 2, .K = 8, .gamma = 1}, DType::f64);
    const Tensor code = target.encode(s);
    double last = 0;
    for (int step = 0; step < 300; ++step) {
      const Variable loss = technique.loss(Variable(s), code, static_cast<double>(N));
      last = loss.value().item();
      loss.backward();
      for (const NamedParameter& p : technique.parameters()) {
        Variable parameter = p.value;
        axpy(parameter.value(), -0.3, parameter.grad());
        parameter.zero_grad();
      }
    }
    return last;
  };
  EXPECT_LT(fitted(2), 0.1 * fitted(1));
}

TEST(TensorSketchCode, Gradient) {  // 1e-6: h^2 f'''/6
  for (const int degree : {1, 2, 3}) {
    TensorSketchCode technique({3, 3}, {3, 4}, {.degree = degree, .K = 5}, DType::f64);
    const Tensor code = technique.encode(Tensor::from(random_values(24, 1, 2), {2, 3, 4}));
    const auto result = grad_check([&](auto v) { return technique.loss(v[0], code, 2); },
                                   {Tensor::from(random_values(18, 1, 1), {2, 3, 3})});
    EXPECT_LT(result.error, 1e-6) << result.where;
  }
}

TEST(TensorSketchCode, WidthsAndRejections) {
  EXPECT_EQ(TensorSketchCode({4}, {7}).code_shape(), (Shape{1, 70}));
  EXPECT_EQ(TensorSketchCode({4}, {70}).code_shape(), (Shape{1, 256}));
  expect_error([] { TensorSketchCode({4}, {7}, {.degree = 4}); }, "tensor_sketch");
  TensorSketchCodeOptions half;
  half.mean = Tensor::zeros({7});
  expect_error([&] { TensorSketchCode({4}, {7}, half); },
               "tensor_sketch_code: variance has shape (); expected (7), mean and variance both");
  TensorSketchCode technique({4}, {7}, {.K = 5});
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({2, 4}));
      },
      "tensor_sketch_code: source's tap has shape (2,4); expected samples of (7)");
  expect_error(
      [&] {
        technique.loss(Variable(Tensor::zeros({2, 4})), Tensor::zeros({2, 5}), 2);
      },
      "tensor_sketch_code: code has shape (2,5)");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/elementwise.h>

#include <cmath>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class ElementwiseTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ElementwiseTest);

TEST_P(ElementwiseTest, EveryFloatingTypeOfTheDevice) {
  for (DType type : {DType::f16, DType::f64}) {
    const Tensor x = Tensor::from(std::vector<double>{1, -2, 0.5}, {3}).to(type).to(device());
    Tensor y = Tensor::zeros_like(x);
    const auto run = [&] { scale(y, x, -2); };
    if (device().is_cuda() && type == DType::f64) {
      expect_error(run, "dtype f64 on a GPU; expected f32, bf16 or f16");
    } else {
      run();
      expect_close(y, {-2, 4, -1}, 0);
    }
  }
}

TEST_P(ElementwiseTest, HandNumbers) {
  const Tensor a = make({1, -2, 0.5}, {3}), b = make({4, 3, -8}, {3});
  Tensor y = make_like({3});
  add(y, a, b);
  expect_close(y, {5, 1, -7.5}, 0);
  mul(y, a, b);
  expect_close(y, {4, -6, -4}, 0);
  scale(y, a, -0.5);
  expect_close(y, {-0.5, 1, -0.25}, 0);
  axpy(y, 2, b);
  expect_close(y, {7.5, 7, -16.25}, 0);
  scale_by(y, a, make({8}, {1}));
  expect_close(y, {8, -16, 4}, 0);
  exp(y, make({0, 1, -1}, {3}));
  expect_close(y, {1, 2.718281828459045, 0.367879441171442}, tolerance());
}

TEST_P(ElementwiseTest, EverySize) {
  for (std::int64_t n : {0, 1, 31, 32, 33, 1000, 100000}) {
    const Tensor a = make(random_values(n, 4, 1), {n}), b = make(random_values(n, 4, 2), {n});
    const Tensor s = make({0.75}, {1});
    const auto av = to_doubles(a), bv = to_doubles(b);
    const auto expected = [&](auto fn) {
      std::vector<double> values;
      for (std::size_t i = 0; i < av.size(); ++i) values.push_back(fn(av[i], bv[i]));
      return values;
    };
    Tensor y = make_like({n});
    add(y, a, b);
    expect_close(y, expected([](double p, double q) { return p + q; }), tolerance(), "add");
    mul(y, a, b);
    expect_close(y, expected([](double p, double q) { return p * q; }), tolerance(), "mul");
    scale(y, a, 1.25);
    expect_close(y, expected([](double p, double) { return 1.25 * p; }), tolerance(), "scale");
    scale_by(y, a, s);
    expect_close(y, expected([](double p, double) { return 0.75 * p; }), tolerance(), "scale_by");
    exp(y, a);
    expect_close(y, expected([](double p, double) { return std::exp(p); }), tolerance(), "exp");
    y.copy_from(a);
    axpy(y, -0.375, b);
    expect_close(y, expected([](double p, double q) { return p - 0.375 * q; }), tolerance(),
                 "axpy");
  }
}

TEST_P(ElementwiseTest, ViewsNeedNotBeAligned) {
  const Tensor all = make(random_values(3 * 41, 4, 1), {3, 41});
  Tensor y = make_like({3, 41}).rows(1, 3);  // begins 41 elements after a multiple of 16 bytes
  add(y, all.rows(1, 3), all.rows(0, 2));
  std::vector<double> expected = to_doubles(all.rows(0, 2));
  const std::vector<double> other = to_doubles(all.rows(1, 3));
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += other[i];
  expect_close(y, expected, tolerance());
}

TEST_P(ElementwiseTest, OutputMayBeAnInput) {
  const Tensor a = make(random_values(100, 4, 1), {100}), b = make(random_values(100, 4, 2), {100});
  Tensor sum = make_like({100}), product = make_like({100}), in_place = a.clone();
  add(sum, a, b);
  add(in_place, in_place, b);
  EXPECT_TRUE(same_bytes(in_place, sum));
  mul(product, sum, sum);
  mul(in_place, in_place, in_place);
  EXPECT_TRUE(same_bytes(in_place, product));
  scale(sum, product, 3);
  scale(in_place, in_place, 3);
  EXPECT_TRUE(same_bytes(in_place, sum));
}

TEST_P(ElementwiseTest, BiasIsAddedToEveryRow) {
  for (const Shape& shape : {Shape{3}, Shape{2, 5}, Shape{3, 7, 33}, Shape{1200, 40}}) {
    const std::int64_t channels = shape[shape.rank() - 1];
    const Tensor b = make(random_values(channels, 1, 2), {channels});
    Tensor y = make(random_values(shape.numel(), 1, 1), shape);
    std::vector<double> expected = to_doubles(y);
    const std::vector<double> bias = to_doubles(b);
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += bias[i % bias.size()];
    add_bias(y, b);
    expect_close(y, expected, tolerance(), shape.str());
  }
}

TEST(Elementwise, AxpyIsOneFusedMultiplyAdd) {
  // (1 + 2^-12)^2 - (1 + 2^-11) = 2^-24, which a rounded product would lose.
  Tensor y = Tensor::full({1}, -(1 + 0x1p-11));
  axpy(y, 1 + 0x1p-12, Tensor::full({1}, 1 + 0x1p-12));
  EXPECT_EQ(y.item(), 0x1p-24);
}

TEST(Elementwise, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Tensor a = Tensor::from(random_values(100000, 4, 1), {100000}).to(DType::f32);
    Tensor sum = Tensor::empty_like(a), e = Tensor::empty_like(a), y = a.clone();
    add(sum, a, a);
    exp(e, a);
    axpy(y, 0.3, e);
    return std::vector{sum, e, y};
  });
}

TEST(Elementwise, Rejections) {
  Tensor x = Tensor::zeros({3}), wrong = Tensor::zeros({4}), undefined;
  Tensor integers = Tensor::zeros({3}, DType::i64);
  const Tensor one = Tensor::zeros({1}), one_double = Tensor::zeros({1}, DType::f64);
  expect_error([&] { add(undefined, x, x); }, "add: y is undefined");
  expect_error([&] { add(integers, integers, integers); },
               "add: y is i64; expected a floating dtype");
  expect_error([&] { add(x, wrong, x); },
               "add: a is f32(4) on cpu, y f32(3) on cpu; expected equal ones");
  expect_error([&] { add(x, x, wrong); }, "add: b is f32(4)");
  expect_error([&] { mul(x, wrong, x); }, "mul: a is f32(4)");
  expect_error([&] { mul(x, x, wrong); }, "mul: b is f32(4)");
  expect_error([&] { scale(x, wrong, 1); }, "scale: x is f32(4)");
  expect_error([&] { axpy(x, 1, wrong); }, "axpy: x is f32(4)");
  expect_error([&] { exp(x, wrong); }, "exp: x is f32(4)");
  expect_error([&] { scale_by(x, wrong, one); }, "scale_by: x is f32(4)");
  expect_error([&] { scale_by(x, x, wrong); },
               "scale_by: s is f32(4) on cpu; expected one element of f32 or f32 on cpu");
  expect_error([&] { scale_by(x, x, one_double); }, "scale_by: s is f64(1)");
  expect_error([&] { add_bias(undefined, x); }, "add_bias: y is undefined");
  expect_error([&] { add_bias(x, wrong); },
               "add_bias: bias is f32(4) on cpu, y f32(3) on cpu; expected bias like y, (C)");
}

}  // namespace
}  // namespace limbeck::testing

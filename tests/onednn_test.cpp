// SPDX-License-Identifier: Apache-2.0
// The fast products against the exact ones. That each call returns true is part of the test: it is
// false when oneDNN has nothing but its reference implementation.
#include <limbeck/kernels/onednn.h>

#include <cstdlib>

#include <limbeck/core/math_mode.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

Tensor random(const Shape& shape, std::uint64_t seed, DType dtype = DType::f32) {
  return Tensor::from(random_values(shape.numel(), 1, seed), shape).to(dtype);
}

// Sums of up to 2000 products in another order: 2000 roundings of 2^-24 at worst, far less in fact.
constexpr double kTolerance = 1e-5;

class OneDnn : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onednn::available()) GTEST_SKIP() << "built without oneDNN";
  }
};

// oneDNN makes bf16 products for AVX-512 and wider, unless its own variable narrows it.
bool has_bf16() {
  return cpu_isas().back() == CpuIsa::avx512 && std::getenv("DNNL_MAX_CPU_ISA") == nullptr;
}

TEST_F(OneDnn, MatmulInEveryOrientation) {
  // Below and above one block of 32 rows; a head of 10; a deep sum.
  for (const auto& [m, n, k] : {std::tuple<int, int, int>{1, 1, 1},
                                {31, 33, 32},
                                {128, 120, 784},
                                {128, 10, 100},
                                {10, 100, 128},
                                {130, 65, 2000}})
    for (const Trans ta : {Trans::no, Trans::yes})
      for (const Trans tb : {Trans::no, Trans::yes})
        for (const Out out : {Out::write, Out::add}) {
          const Tensor a = random(ta == Trans::no ? Shape{m, k} : Shape{k, m}, 1);
          const Tensor b = random(tb == Trans::no ? Shape{k, n} : Shape{n, k}, 2);
          Tensor c = random({m, n}, 3), expected = c.clone();
          ASSERT_TRUE(onednn::matmul(c, a, ta, b, tb, out));
          matmul(expected, a, ta, b, tb, out);
          expect_close(c, to_doubles(expected), kTolerance);
        }
}

TEST_F(OneDnn, MatmulHasNoEmptyOrDoubleProduct) {
  Tensor c = Tensor::zeros({0, 3}), d = Tensor::zeros({2, 3}, DType::f64);
  EXPECT_FALSE(onednn::matmul(c, Tensor::zeros({0, 4}), Trans::no, Tensor::zeros({4, 3}), Trans::no,
                              Out::write));
  EXPECT_FALSE(onednn::matmul(d, Tensor::zeros({2, 4}, DType::f64), Trans::no,
                              Tensor::zeros({4, 3}, DType::f64), Trans::no, Out::write));
}

TEST_F(OneDnn, LinearWithBiasAndRelu) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    if (dtype == DType::bf16 && !has_bf16()) continue;
    for (const auto& [n, in, out] :
         {std::tuple<int, int, int>{1, 1, 1}, {31, 32, 33}, {128, 784, 120}, {300, 100, 10}})
      for (const bool relu : {false, true}) {
        const Tensor x = random({n, in}, 1, dtype), w = random({out, in}, 2, dtype);
        const Tensor bias = random({out}, 3, dtype);
        Tensor y = Tensor::full({n, out}, 777, dtype), expected = Tensor::empty({n, out});
        ASSERT_TRUE(onednn::linear_forward(y, x, w, bias, relu));
        linear_forward(expected, nullptr, x.to(DType::f32), w.to(DType::f32), bias.to(DType::f32),
                       relu ? Activation::relu : Activation::none);
        // bf16 sums are f32 inside and rounded once.
        expect_close(y, to_doubles(expected), dtype == DType::bf16 ? 0x1p-8 : kTolerance);
        ASSERT_TRUE(onednn::linear_forward(y, x, w, Tensor(), relu));
      }
  }
}

TEST_F(OneDnn, MatmulOfBf16) {
  if (!has_bf16()) GTEST_SKIP() << "no AVX-512";
  const Tensor a = random({70, 90}, 1, DType::bf16), b = random({90, 50}, 2, DType::bf16);
  Tensor c = Tensor::full({70, 50}, 777, DType::bf16), expected = Tensor::empty({70, 50});
  ASSERT_TRUE(onednn::matmul(c, a, Trans::no, b, Trans::no, Out::write));
  matmul(expected, a.to(DType::f32), Trans::no, b.to(DType::f32), Trans::no);
  expect_close(c, to_doubles(expected), 0x1p-8, "one rounding to bf16");
  for (const Out out : {Out::write, Out::add}) {  // a sum in f32 stays so
    Tensor wide = random({70, 50}, 3), wide_expected = wide.clone();
    ASSERT_TRUE(onednn::matmul(wide, a, Trans::no, b, Trans::no, out));
    matmul(wide_expected, a.to(DType::f32), Trans::no, b.to(DType::f32), Trans::no, out);
    expect_close(wide, to_doubles(wide_expected), kTolerance, "f32 from bf16");
  }
}

TEST_F(OneDnn, MatmulOfF16IsNotItsOwn) {
  Tensor c = Tensor::zeros({2, 3});
  const Tensor a = random({2, 4}, 1, DType::f16), b = random({4, 3}, 2, DType::f16);
  EXPECT_FALSE(onednn::matmul(c, a, Trans::no, b, Trans::no, Out::write));
}

struct Case {
  Shape x, w;
  Conv2dOptions options;
};

// Batches that give whole chunks, a last one that is smaller, and fewer images than chunks; one
// channel and many; strides.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{32, 28, 28, 1}, {16, 3, 3, 1}, {.stride = 1, .padding = 1}},
      {{19, 14, 14, 16}, {32, 3, 3, 16}, {.stride = 1, .padding = 1}},
      {{3, 14, 14, 32}, {64, 3, 3, 32}, {.stride = 2, .padding = 1}},
      {{1, 8, 10, 32}, {16, 5, 5, 32}, {.stride = 1, .padding = 2}},
      {{16, 7, 7, 64}, {32, 1, 1, 64}, {}},
  };
  return all;
}

TEST_F(OneDnn, ConvolutionAgainstTheExactOne) {
  for (const Case& c : cases()) {
    const Shape out = conv2d_output_shape(c.x, c.w, c.options);
    const Tensor x = random(c.x, 1), w = random(c.w, 2), dy = random(out, 3);
    const Tensor bias = random({c.w[0]}, 4);
    for (const Tensor& b : {bias, Tensor()}) {
      Tensor y = Tensor::full(out, 777), expected = Tensor::empty(out);
      ASSERT_TRUE(onednn::conv2d_forward(y, x, w, b, c.options)) << c.x << c.w;
      conv2d_forward(expected, x, w, b, c.options);
      expect_close(y, to_doubles(expected), kTolerance, "y of " + c.x.str());
    }
    Tensor dx = Tensor::full(c.x, 777), expected_dx = Tensor::empty(c.x);
    ASSERT_TRUE(onednn::conv2d_backward_data(dx, dy, w, c.options)) << c.x << c.w;
    conv2d_backward_data(expected_dx, dy, w, c.options);
    expect_close(dx, to_doubles(expected_dx), kTolerance, "dx of " + c.x.str());
    for (const Out mode : {Out::write, Out::add}) {
      Tensor dw = random(c.w, 5), expected_dw = dw.clone();
      ASSERT_TRUE(onednn::conv2d_backward_weight(dw, x, dy, mode, c.options)) << c.x << c.w;
      conv2d_backward_weight(expected_dw, x, dy, mode, c.options);
      expect_close(dw, to_doubles(expected_dw), kTolerance, "dw of " + c.x.str());
    }
  }
}

TEST_F(OneDnn, SameRunSameBits) {
  const Tensor a = random({130, 300}, 1), b = random({70, 300}, 2);
  const Tensor x = random({19, 14, 14, 16}, 3), w = random({32, 3, 3, 16}, 4);
  const Conv2dOptions o = {.stride = 1, .padding = 1};
  std::vector<Tensor> first;
  for (int run = 0; run < 3; ++run) {
    Tensor c = Tensor::empty({130, 70}), y = Tensor::empty({19, 14, 14, 32});
    Tensor dw = Tensor::empty(w.shape());
    ASSERT_TRUE(onednn::matmul(c, a, Trans::no, b, Trans::yes, Out::write));
    ASSERT_TRUE(onednn::conv2d_forward(y, x, w, Tensor(), o));
    ASSERT_TRUE(onednn::conv2d_backward_weight(dw, x, y, Out::write, o));
    if (run == 0) first = {c, y, dw};
    EXPECT_TRUE(same_bytes(c, first[0]) && same_bytes(y, first[1]) && same_bytes(dw, first[2]));
  }
}

// The chunks of a convolution depend on its shape only, so here even the thread count is free.
TEST_F(OneDnn, ConvolutionHasTheSameBitsForAnyThreadCount) {
  const Tensor x = random({32, 14, 14, 16}, 3), w = random({32, 3, 3, 16}, 4);
  const Conv2dOptions o = {.stride = 1, .padding = 1};
  const int threads_before = num_threads();
  std::vector<Tensor> first;
  for (int threads : {1, 2, 4}) {
    set_num_threads(threads);
    Tensor y = Tensor::empty({32, 14, 14, 32}), dx = Tensor::empty(x.shape());
    Tensor dw = Tensor::empty(w.shape());
    ASSERT_TRUE(onednn::conv2d_forward(y, x, w, Tensor(), o));
    ASSERT_TRUE(onednn::conv2d_backward_data(dx, y, w, o));
    ASSERT_TRUE(onednn::conv2d_backward_weight(dw, x, y, Out::write, o));
    if (threads == 1) first = {y, dx, dw};
    EXPECT_TRUE(same_bytes(y, first[0]) && same_bytes(dx, first[1]) && same_bytes(dw, first[2]))
        << threads;
  }
  set_num_threads(threads_before);
}

TEST_F(OneDnn, FastMathReachesThePublicProducts) {
  const Tensor a = random({64, 500}, 1), b = random({500, 64}, 2);
  Tensor direct = Tensor::empty({64, 64}), c = Tensor::empty({64, 64});
  ASSERT_TRUE(onednn::matmul(direct, a, Trans::no, b, Trans::no, Out::write));
  set_math_mode(MathMode::fast);
  matmul(c, a, Trans::no, b, Trans::no);
  const Tensor x = random({4, 8, 8, 16}, 3), w = random({16, 3, 3, 16}, 4);
  Tensor y = Tensor::empty({4, 6, 6, 16}), direct_y = Tensor::empty(y.shape());
  conv2d_forward(y, x, w, Tensor(), {});
  set_math_mode(MathMode::exact);
  EXPECT_TRUE(same_bytes(c, direct));
  ASSERT_TRUE(onednn::conv2d_forward(direct_y, x, w, Tensor(), {}));
  EXPECT_TRUE(same_bytes(y, direct_y));
}

TEST(MathModeTest, FastIsRefusedWhereItIsNotBuilt) {
  EXPECT_EQ(math_mode(), MathMode::exact);
  EXPECT_EQ(fast_math_available(), onednn::available());
  if (!fast_math_available())
    expect_error([] { set_math_mode(MathMode::fast); },
                 "set_math_mode: fast in a build without oneDNN; expected exact");
}

}  // namespace
}  // namespace limbeck::testing

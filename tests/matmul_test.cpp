// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/matmul.h>

#include <limbeck/core/math_mode.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck {
namespace {

using testing::expect_close;
using testing::expect_error;
using testing::random_values;
using testing::same_bytes;

struct Size {
  std::int64_t m, n, k;
};

// Below, at and above the register tiles (12 x 32, 6 x 16), what is left beside them (1 to 11 rows,
// 1 to 31 columns) and the block limits (256 columns, 512 steps), plus the empty and the
// one-element product.
const Size kSizes[] = {{1, 1, 1},    {2, 3, 0},      {0, 5, 4},     {12, 32, 31},
                       {13, 33, 32}, {1, 1000, 7},   {31, 10, 513}, {128, 10, 96},
                       {20, 60, 40}, {121, 257, 33}, {64, 300, 520}};
const std::pair<Trans, Trans> kTransposes[] = {{Trans::no, Trans::no},
                                               {Trans::no, Trans::yes},
                                               {Trans::yes, Trans::no},
                                               {Trans::yes, Trans::yes}};

Shape stored(std::int64_t rows, std::int64_t cols, Trans trans) {
  return trans == Trans::yes ? Shape{cols, rows} : Shape{rows, cols};
}

double element(const std::vector<double>& v, const Shape& shape, Trans trans, std::int64_t i,
               std::int64_t j) {
  return v[static_cast<std::size_t>(trans == Trans::yes ? j * shape[1] + i : i * shape[1] + j)];
}

class MatmulTest : public testing::DeviceTest {
 protected:
  /// c of dtype `result` against the definition, for random matrices of dtype `factors`.
  void expect_product(const Size& s, Trans ta, Trans tb, Out out, DType factors, DType result,
                      double bound) const;
};

// v as `dtype` holds it, in double.
std::vector<double> rounded(const std::vector<double>& v, DType dtype) {
  return testing::to_doubles(Tensor::from(v, Shape{static_cast<std::int64_t>(v.size())}).to(dtype));
}

void MatmulTest::expect_product(const Size& s, Trans ta, Trans tb, Out out, DType factors,
                                DType result, double bound) const {
  const Shape sa = stored(s.m, s.k, ta), sb = stored(s.k, s.n, tb);
  const auto a = rounded(random_values(s.m * s.k, 1, 1), factors),
             b = rounded(random_values(s.k * s.n, 1, 2), factors);
  const auto c0 = rounded(random_values(s.m * s.n, 1, 3), result);
  std::vector<double> expected(c0.size());
  double scale = 1;  // of the sums' terms: the error of a sum does not shrink when it cancels
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = out == Out::add ? c0[static_cast<std::size_t>(i * s.n + j)] : 0;
      for (std::int64_t k = 0; k < s.k; ++k)
        sum += element(a, sa, ta, i, k) * element(b, sb, tb, k, j);
      expected[static_cast<std::size_t>(i * s.n + j)] = sum;
      scale = std::max(scale, std::abs(sum));
    }
  const auto tensor = [&](const std::vector<double>& v, const Shape& shape, DType dtype) {
    return Tensor::from(v, shape).to(dtype).to(device());
  };
  Tensor c = tensor(c0, {s.m, s.n}, result);
  matmul(c, tensor(a, sa, factors), ta, tensor(b, sb, factors), tb, out);
  const auto actual = testing::to_doubles(c);
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], bound * scale)
        << s.m << "x" << s.n << "x" << s.k << " " << factors << " element " << i;
}

TEST_P(MatmulTest, HandNumbers) {
  // [1 2; 3 4] [5 6; 7 8] = [1*5+2*7 1*6+2*8; 3*5+4*7 3*6+4*8]
  Tensor c = make_like({2, 2});
  const Tensor a = make({1, 2, 3, 4}, {2, 2}), b = make({5, 6, 7, 8}, {2, 2});
  matmul(c, a, Trans::no, b, Trans::no);
  expect_close(c, {19, 22, 43, 50}, 0);
  matmul(c, a, Trans::yes, b, Trans::no);  // [1 3; 2 4] [5 6; 7 8]
  expect_close(c, {26, 30, 38, 44}, 0);
  matmul(c, a, Trans::no, b, Trans::yes, Out::add);  // += [1 2; 3 4] [5 7; 6 8]
  expect_close(c, {26 + 17, 30 + 23, 38 + 39, 44 + 53}, 0);
}

TEST_P(MatmulTest, EverySizeAndTransposeMatchesTheDefinition) {
  for (const Size& s : kSizes)
    for (const auto& [ta, tb] : kTransposes)
      for (const Out out : {Out::write, Out::add})
        expect_product(s, ta, tb, out, dtype(), dtype(), tolerance());
}

TEST_P(MatmulTest, SixteenBitFactorsKeepF32Sums) {
  for (const DType factors : {DType::bf16, DType::f16})
    for (const Size& s : {Size{13, 33, 32}, Size{2, 3, 0}, Size{7, 40, 520}})
      for (const auto& [ta, tb] : kTransposes)
        for (const Out out : {Out::write, Out::add})
          expect_product(s, ta, tb, out, factors, DType::f32, 2e-6);
}

TEST_P(MatmulTest, LinearIsProductPlusBiasThenActivation) {
  const std::int64_t n = 33, in = 20, out = 45;
  const Tensor x = make(random_values(n * in, 1, 1), {n, in}),
               w = make(random_values(out * in, 1, 2), {out, in});
  const Tensor bias = make(random_values(out, 1, 3), {out});
  const auto dx = testing::to_doubles(x), dw = testing::to_doubles(w),
             db = testing::to_doubles(bias);
  std::vector<double> z;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t o = 0; o < out; ++o) {
      double sum = db[static_cast<std::size_t>(o)];
      for (std::int64_t k = 0; k < in; ++k)
        sum += dx[static_cast<std::size_t>(i * in + k)] * dw[static_cast<std::size_t>(o * in + k)];
      z.push_back(sum);
    }
  const auto check = [&](Activation act, auto&& f) {
    std::vector<double> expected;
    for (double v : z) expected.push_back(f(v));
    Tensor y = make_like({n, out}), pre = make_like({n, out});
    linear_forward(y, nullptr, x, w, bias, act);
    expect_close(y, expected, tolerance(), std::string(activation_name(act)));
    linear_forward(y, &pre, x, w, bias, act);
    expect_close(y, expected, tolerance(), std::string(activation_name(act)));
    expect_close(pre, z, tolerance(), "pre");
  };
  check(Activation::none, [](double v) { return v; });
  check(Activation::relu, [](double v) { return std::max(v, 0.0); });
  check(Activation::gelu, [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); });
  check(Activation::tanh, [](double v) { return std::tanh(v); });
  check(Activation::sigmoid, [](double v) { return 1 / (1 + std::exp(-v)); });
}

TEST_P(MatmulTest, LinearWithoutBias) {
  Tensor y = make_like({1, 2});
  linear_forward(y, nullptr, make({2, 3}, {1, 2}), make({1, 1, -1, -2}, {2, 2}), Tensor(),
                 Activation::relu);
  expect_close(y, {5, 0}, 0);  // 2+3, max(-2-6, 0)
}

TEST_P(MatmulTest, LinearOfNothingIsTheBias) {
  const Tensor bias = make({1, -2, 3}, {3});
  Tensor y = make_like({2, 3});
  linear_forward(y, nullptr, make_like({2, 0}), make_like({3, 0}), bias, Activation::relu);
  expect_close(y, {1, 0, 3, 1, 0, 3}, 0);
}

TEST_P(MatmulTest, Rejections) {
  const Tensor a = make_like({2, 3}), b = make_like({4, 5});
  Tensor c = make_like({2, 5});
  expect_error([&] { matmul(c, a, Trans::no, b, Trans::no); },
               "matmul: op(a) has shape (2,3), op(b) (4,5); expected (M,K) and (K,N)");
  expect_error(
      [&] {
        matmul(c, a, Trans::no, make_like({3, 4}), Trans::no);
      },
      "matmul: c has shape (2,5); expected (2,4)");
  expect_error([&] { matmul(c, make_like({6}), Trans::no, b, Trans::no); },
               "matmul: a has shape (6); expected a matrix");
  expect_error([&] { matmul(c, Tensor(), Trans::no, b, Trans::no); }, "matmul: a has shape ()");
  expect_error(
      [&] {
        matmul(c, Tensor::zeros({2, 3}, DType::i32, device()), Trans::no, b, Trans::no);
      },
      "matmul: a is i32; expected a floating dtype");
  const DType other = dtype() == DType::f16 ? DType::bf16 : DType::f16;
  expect_error(
      [&] {
        matmul(c, a, Trans::no, Tensor::zeros({3, 5}, other, device()), Trans::no);
      },
      detail::concat("matmul: b is ", other));
  const Tensor half = Tensor::zeros({2, 3}, DType::f16, device());
  Tensor wrong = Tensor::zeros({2, 2}, DType::bf16, device());
  expect_error([&] { matmul(wrong, half, Trans::no, half, Trans::yes); }, "matmul: c is bf16");
  wrong = Tensor::zeros({2, 2}, DType::f64);
  expect_error([&] { matmul(wrong, half, Trans::no, half, Trans::yes); }, "matmul: c is f64");
  Tensor y = make_like({2, 4});
  expect_error(
      [&] {
        linear_forward(y, nullptr, a, make_like({4, 5}), Tensor(), Activation::none);
      },
      "linear: x has shape (2,3), w (4,5); expected (N,I) and (O,I)");
  expect_error(
      [&] {
        linear_forward(y, nullptr, a, make_like({4, 3}), make_like({3}), Activation::none);
      },
      "linear: bias has shape (3); expected (4)");
  matmul(c, a, Trans::no, make_like({3, 5}), Trans::no);  // what is left is accepted
}

LIMBECK_INSTANTIATE_DEVICE_TEST(MatmulTest);

Tensor random_f32(const Shape& shape, std::uint64_t seed) {
  return Tensor::from(random_values(shape.numel(), 1, seed), shape).to(DType::f32);
}

Tensor product(const Tensor& a, Trans ta, const Tensor& b, Trans tb) {
  const Shape shape{ta == Trans::yes ? a.dim(1) : a.dim(0), tb == Trans::yes ? b.dim(0) : b.dim(1)};
  Tensor c = Tensor::empty(shape);  // of f32, whatever the factors
  matmul(c, a, ta, b, tb);
  return c;
}

TEST(MatmulExact, EveryElementIsOneFmaChain) {
  for (const Size& s : kSizes)
    for (const auto& [ta, tb] : kTransposes) {
      const Tensor a = random_f32(stored(s.m, s.k, ta), 1), b = random_f32(stored(s.k, s.n, tb), 2);
      const auto c = product(a, ta, b, tb).to_vector<float>();
      const auto da = testing::to_doubles(a), db = testing::to_doubles(b);
      for (std::int64_t i = 0; i < s.m; ++i)
        for (std::int64_t j = 0; j < s.n; ++j) {
          float chain = 0;
          for (std::int64_t k = 0; k < s.k; ++k)
            chain = std::fma(static_cast<float>(element(da, a.shape(), ta, i, k)),
                             static_cast<float>(element(db, b.shape(), tb, k, j)), chain);
          ASSERT_EQ(c[static_cast<std::size_t>(i * s.n + j)], chain)
              << s.m << "x" << s.n << "x" << s.k;
        }
    }
}

TEST(MatmulExact, SameBitsForEveryIsaAndThreadCount) {
  const Tensor a = random_f32({130, 300}, 1), b = random_f32({270, 300}, 2);
  testing::expect_same_bits([&] { return std::vector{product(a, Trans::no, b, Trans::yes)}; });
  testing::expect_same_bits([&] { return std::vector{product(a, Trans::yes, a, Trans::no)}; });
  const Tensor x = a.to(DType::bf16), y = b.to(DType::bf16);
  testing::expect_same_bits([&] { return std::vector{product(x, Trans::no, y, Trans::yes)}; });
  // So tall that it is cut by rows alone, and so wide that it is by columns alone.
  const Tensor tall = random_f32({2000, 70}, 3), wide = random_f32({90, 70}, 4);
  testing::expect_same_bits(
      [&] { return std::vector{product(tall, Trans::no, wide, Trans::yes)}; });
  testing::expect_same_bits(
      [&] { return std::vector{product(wide, Trans::no, tall, Trans::yes)}; });
}

TEST(MatmulExact, ARowDoesNotDependOnItsBatch) {
  const Tensor a = random_f32({65, 300}, 1), b = random_f32({400, 300}, 2);
  const Tensor all = product(a, Trans::no, b, Trans::yes);
  for (const std::int64_t i : {0, 31, 64})
    EXPECT_TRUE(
        same_bytes(product(a.rows(i, i + 1), Trans::no, b, Trans::yes), all.rows(i, i + 1)));
}

TEST(MatmulExact, AddingOverRowBlocksEqualsTheWhole) {
  const Tensor x = random_f32({128, 70}, 1), dy = random_f32({128, 40}, 2);
  Tensor parts = Tensor::empty({40, 70});
  matmul(parts, dy.rows(0, 50), Trans::yes, x.rows(0, 50), Trans::no, Out::write);
  matmul(parts, dy.rows(50, 128), Trans::yes, x.rows(50, 128), Trans::no, Out::add);
  EXPECT_TRUE(same_bytes(parts, product(dy, Trans::yes, x, Trans::no)));
}

TEST(MatmulExact, SixteenBitFactorsCountAsTheF32TheyStandFor) {
  for (const DType dtype : {DType::bf16, DType::f16})
    for (const auto& [ta, tb] : kTransposes) {
      const Tensor a = random_f32(stored(30, 530, ta), 1).to(dtype),
                   b = random_f32(stored(530, 70, tb), 2).to(dtype);
      Tensor c = random_f32({30, 70}, 3), expected = c.clone();
      matmul(c, a, ta, b, tb, Out::add);
      matmul(expected, a.to(DType::f32), ta, b.to(DType::f32), tb, Out::add);
      EXPECT_TRUE(same_bytes(c, expected)) << dtype;
    }
}

// The f32 sums behind a 16-bit result are kept for 128 rows at a time.
TEST(MatmulExact, ASixteenBitResultIsItsF32SumsRounded) {
  for (const auto& [ta, tb] : kTransposes) {
    const Tensor a = random_f32(stored(300, 5, ta), 1).to(DType::bf16),
                 b = random_f32(stored(5, 9000, tb), 2).to(DType::bf16);
    Tensor c = random_f32({300, 9000}, 3).to(DType::bf16), expected = c.to(DType::f32);
    matmul(c, a, ta, b, tb, Out::add);
    matmul(expected, a, ta, b, tb, Out::add);
    EXPECT_TRUE(same_bytes(c, expected.to(DType::bf16)));
  }
}

TEST(MatmulExact, NanAndInfinityStayInTheirRowAndColumn) {
  Tensor a = Tensor::full({14, 5}, 1), b = Tensor::full({5, 40}, 1);
  a.data<float>()[13 * 5] = std::numeric_limits<float>::quiet_NaN();
  const auto c = product(a, Trans::no, b, Trans::no).to_vector<float>();
  for (std::size_t i = 0; i < 14 * 40; ++i) EXPECT_EQ(std::isnan(c[i]), i >= 13 * 40);
}

}  // namespace
}  // namespace limbeck

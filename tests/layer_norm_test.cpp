// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/layer_norm.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

/// The definition, in long double. `centred` tells layer norm from RMS norm.
struct Reference {
  std::vector<double> y, dx, dweight;

  Reference(const std::vector<double>& x, const std::vector<double>& dy,
            const std::vector<double>& weight, const std::vector<double>& bias, double eps,
            bool centred)
      : dweight(weight.size()) {
    const std::size_t C = weight.size();
    for (std::size_t row = 0; row < x.size(); row += C) {
      long double mean = 0, variance = 0, g = 0, gn = 0;
      for (std::size_t c = 0; centred && c < C; ++c) mean += x[row + c];
      mean /= C;
      for (std::size_t c = 0; c < C; ++c) variance += (x[row + c] - mean) * (x[row + c] - mean);
      const long double rstd = 1 / std::sqrt(variance / C + eps);
      const auto n = [&](std::size_t c) { return (x[row + c] - mean) * rstd; };
      for (std::size_t c = 0; c < C; ++c) {
        y.push_back(static_cast<double>(n(c) * weight[c] + bias[c]));
        g += centred ? dy[row + c] * weight[c] : 0.0;
        gn += dy[row + c] * weight[c] * n(c);
        dweight[c] += static_cast<double>(dy[row + c] * n(c));
      }
      for (std::size_t c = 0; c < C; ++c)
        dx.push_back(static_cast<double>(rstd * (dy[row + c] * weight[c] - (g + n(c) * gn) / C)));
    }
  }
};

struct Result {
  Tensor y, dx, dweight, mean, rstd;
};

/// Forward and backward; an undefined weight or bias stands for 1 or 0.
Result run(const Tensor& x, const Tensor& dy, const Tensor& weight, const Tensor& bias, double eps,
           bool centred = true) {
  const std::int64_t C = x.dim(x.rank() - 1);
  const DType statistics = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r;
  r.rstd = Tensor::full({x.numel() / C}, 777, statistics, x.device());
  if (centred) r.mean = r.rstd.clone();
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.dweight = Tensor::full({C}, 777, x.dtype(), x.device());
  layer_norm_forward(r.y, r.mean, r.rstd, x, weight, bias, eps);
  layer_norm_backward(r.dx, dy, x, r.mean, r.rstd, weight);
  layer_norm_backward_weight(r.dweight, dy, x, r.mean, r.rstd);
  return r;
}

class LayerNormTest : public DeviceTest {
 protected:
  void compare(const Shape& shape, double mean, bool centred, bool parameters) const {
    const std::int64_t C = shape[shape.rank() - 1];
    auto values = random_values(shape.numel(), 2, 1);
    for (double& v : values) v += mean;
    const Tensor x = make(values, shape), dy = make(random_values(shape.numel(), 1, 2), shape);
    const Tensor w = make(random_values(C, 1, 3), {C}), b = make(random_values(C, 1, 4), {C});
    const auto one = std::vector<double>(static_cast<std::size_t>(C), 1);
    const auto zero = std::vector<double>(static_cast<std::size_t>(C), 0);
    const Reference expected(to_doubles(x), to_doubles(dy), parameters ? to_doubles(w) : one,
                             parameters ? to_doubles(b) : zero, 1e-3, centred);
    const Result r =
        run(x, dy, parameters ? w : Tensor(), parameters ? b : Tensor(), 1e-3, centred);
    // The mean is off by an ulp of itself, and so then is every difference from it.
    const double bound = tolerance() * (1 + std::abs(mean));
    expect_close(r.y, expected.y, bound, shape.str() + " y");
    expect_close(r.dx, expected.dx, 2 * bound, shape.str() + " dx");
    expect_close(r.dweight, expected.dweight, 2 * bound, shape.str() + " dweight");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(LayerNormTest);

TEST_P(LayerNormTest, HandNumbers) {
  // mean 2, variance 1 - 1/4 + 1/4 = 1: rstd = 1, n = (-1,1). y = n (2,3) + (10,20).
  // g = dy w = (2,0), sum g = 2, sum g n = -2: dx = g - 1 + n = (2-1-1, 0-1+1) = 0, as for any
  // row of two when eps = 0; here eps = 1/4 beside a variance of 3/4 ((x - 2)^2 = 3/4).
  const double d = std::sqrt(0.75);
  const Tensor x = make({2 - d, 2 + d}, {1, 2}), dy = make({1, 0}, {1, 2});
  const Result r = run(x, dy, make({2, 3}, {2}), make({10, 20}, {2}), 0.25);
  // n = (-d,d), sum g n = -2d; dx = (2,0) - 1 + n d = (1 - 3/4, -1 + 3/4).
  expect_close(r.y, {10 - 2 * d, 20 + 3 * d}, tolerance());
  expect_close(r.dx, {0.25, -0.25}, 8 * tolerance());  // of numbers four times as large
  expect_close(r.dweight, {-d, 0}, 4 * tolerance());
  // Without centring: mean of (1,7)^2 = 25, eps 11: rstd = 1/6; g = (2,0), g n = 1/3.
  const Result rms = run(make({1, 7}, {1, 2}), dy, make({2, 3}, {2}), Tensor(), 11, false);
  expect_close(rms.y, {2.0 / 6, 21.0 / 6}, tolerance());
  // dx = (1/6) ((2,0) - (1/6, 7/6) (1/3) / 2)
  expect_close(rms.dx, {71.0 / 216, -7.0 / 216}, 2 * tolerance());
}

TEST_P(LayerNormTest, MatchesDefinitionAtEveryWidth) {
  for (const bool centred : {true, false}) {
    for (std::int64_t C : {2, 31, 32, 33, 100, 129, 257, 513, 600})
      compare({C < 40 ? 9 : 3, C}, 0, centred, true);
    compare({2, 3, 5}, 0, centred, true);
    compare({300, 3}, 0, centred, false);  // several slabs of rows
    compare({3, 1501}, 0, centred, true);  // rows at every offset from a multiple of 16 bytes
  }
}

TEST_P(LayerNormTest, ALargeMeanCostsNoDigits) {
  // 16-bit inputs of this size are coarse but exact: the definition gets the same ones.
  compare({3, 100}, 1000, true, true);
  compare({3, 1030}, 1000, true, true);
}

TEST_P(LayerNormTest, ShiftAndScaleOfARowChangeNothing) {
  // Powers of two and integers, exact in 16 bits.
  const Tensor x = make({1, 2, 3, 5, -4, 0, 7, 1}, {2, 4});
  const Tensor moved = make({12, 16, 20, 28, -8, 8, 36, 12}, {2, 4});  // 4 x + 8
  const Tensor dy = make(random_values(8), {2, 4});
  const Result a = run(x, dy, Tensor(), Tensor(), 1e-12);
  const Result b = run(moved, dy, Tensor(), Tensor(), 1e-12);
  expect_close(b.y, to_doubles(a.y), 4 * tolerance());
  for (int row = 0; row < 2; ++row) {
    const auto y = to_doubles(a.y), dx = to_doubles(a.dx), n = to_doubles(x);
    double sum = 0, squares = 0, gradient = 0, along = 0;
    for (int c = 4 * row; c < 4 * row + 4; ++c) {
      sum += y[c], squares += y[c] * y[c], gradient += dx[c], along += dx[c] * n[c];
    }
    EXPECT_NEAR(sum, 0, 8 * tolerance());
    EXPECT_NEAR(squares, 4, 16 * tolerance());
    EXPECT_NEAR(gradient, 0, 8 * tolerance());
    EXPECT_NEAR(along, 0, 32 * tolerance());
  }
}

TEST_P(LayerNormTest, AConstantRowIsTheBias) {
  const Result r =
      run(Tensor::full({2, 40}, 3, dtype(), device()), make(random_values(80), {2, 40}), Tensor(),
          Tensor::full({40}, 5, dtype(), device()), 1e-5);
  expect_close(r.y, std::vector<double>(80, 5), 0);
}

TEST_P(LayerNormTest, MayWriteOverItsInput) {
  for (std::int64_t C : {10, 300, 1500}) {
    Tensor x = make(random_values(3 * C, 5, 1), {3, C});
    Tensor dy = make(random_values(3 * C, 1, 2), {3, C});
    Result r = run(x, dy, Tensor(), Tensor(), 1e-5);
    layer_norm_backward(dy, dy, x, r.mean, r.rstd, Tensor());
    EXPECT_TRUE(same_bytes(dy, r.dx));
    layer_norm_forward(x, r.mean, r.rstd, x, Tensor(), Tensor(), 1e-5);
    EXPECT_TRUE(same_bytes(x, r.y));
  }
}

TEST_P(LayerNormTest, WeightGradientAdds) {
  const Tensor x = make(random_values(12, 1, 1), {4, 3}),
               dy = make(random_values(12, 1, 2), {4, 3});
  const Result r = run(x, dy, Tensor(), Tensor(), 1e-5);
  Tensor sum = make({1, 2, 3}, {3});
  layer_norm_backward_weight(sum, dy, x, r.mean, r.rstd, Out::add);
  const auto once = to_doubles(r.dweight);
  expect_close(sum, {1 + once[0], 2 + once[1], 3 + once[2]}, 2 * tolerance());
}

TEST_P(LayerNormTest, NoRows) {
  expect_no_launch();
  const Result r = run(make({}, {0, 3}), make({}, {0, 3}), Tensor(), Tensor(), 1e-5);
  expect_close(r.dweight, {0, 0, 0}, 0);
}

TEST(LayerNorm, WeightGradientOfRowBlocksIsThatOfTheWhole) {
  const Tensor x = Tensor::from(random_values(70 * 9, 1, 1), {70, 9}).to(DType::f32);
  const Tensor dy = Tensor::from(random_values(70 * 9, 1, 2), {70, 9}).to(DType::f32);
  const Result whole = run(x, dy, Tensor(), Tensor(), 1e-5);
  Tensor sum = Tensor::zeros({9});
  for (const auto& [begin, end] : {std::pair{0, 33}, std::pair{33, 70}})
    layer_norm_backward_weight(sum, dy.rows(begin, end), x.rows(begin, end),
                               whole.mean.rows(begin, end), whole.rstd.rows(begin, end), Out::add);
  EXPECT_TRUE(same_bytes(sum, whole.dweight));
}

TEST(LayerNorm, SameBitsForThreadsAndInstructionSets) {
  for (std::int64_t C : {10, 200, 3000})
    expect_same_bits([&] {
      const std::int64_t N = C == 10 ? 7000 : 100;
      const Tensor x = Tensor::from(random_values(N * C, 5, 1), {N, C}).to(DType::f32);
      const Tensor w = Tensor::from(random_values(C, 5, 2), {C}).to(DType::f32);
      const Result r = run(x, x, w, w, 1e-5), rms = run(x, x, w, w, 1e-5, false);
      return std::vector{r.y, r.dx, r.dweight, r.mean, r.rstd, rms.y, rms.dx, rms.dweight};
    });
}

TEST(LayerNorm, Rejections) {
  Tensor x = Tensor::zeros({2, 3}), wrong = Tensor::zeros({3, 2}), row = Tensor::zeros({2});
  const Tensor none, w = Tensor::zeros({3});
  const auto forward = [&](Tensor y, Tensor mean, Tensor rstd, const Tensor& in,
                           const Tensor& weight,
                           double eps) { layer_norm_forward(y, mean, rstd, in, weight, w, eps); };
  expect_error([&] { forward(x, row, row, w, w, 1); },
               "layer_norm_forward: x has shape (3); expected (...,C) with C >= 1");
  expect_error(
      [&] {
        forward(x, row, row, Tensor::zeros({2, 3}, DType::i32), w, 1);
      },
      "layer_norm_forward: x is i32; expected a floating dtype");
  expect_error([&] { forward(x, row, row, none, w, 1); }, "layer_norm_forward: x is undefined");
  expect_error([&] { forward(wrong, row, row, x, w, 1); },
               "layer_norm_forward: y is f32(3,2) on cpu, x f32(2,3) on cpu; expected equal ones");
  expect_error([&] { forward(x, w, row, x, w, 1); },
               "layer_norm_forward: mean is f32(3) on cpu, x f32(2,3) on cpu; expected f32(2)");
  expect_error([&] { forward(x, row, none, x, w, 1); },
               "layer_norm_forward: rstd is undefined; expected (2)");
  expect_error([&] { forward(x, row, row, x, row, 1); },
               "layer_norm_forward: weight is f32(2) on cpu, x f32(2,3) on cpu; expected (3)");
  expect_error([&] { forward(x, row, row, x, w, 0); },
               "layer_norm_forward: eps is 0; expected > 0");
  expect_error([&] { layer_norm_backward(x, wrong, x, row, row, w); },
               "layer_norm_backward: dy is f32(3,2)");
  expect_error([&] { layer_norm_backward(wrong, x, x, row, row, w); },
               "layer_norm_backward: dx is f32(3,2)");
  expect_error([&] { layer_norm_backward(x, x, x, row, row, row); },
               "layer_norm_backward: weight is f32(2)");
  expect_error([&] { layer_norm_backward_weight(row, x, x, row, row); },
               "layer_norm_backward_weight: dweight is f32(2)");
}

}  // namespace
}  // namespace limbeck::testing

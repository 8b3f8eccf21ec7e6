// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/tensor_sketch.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Row = std::vector<long double>;

/// The definition, in long double and without shortcuts.
class Definition {
 public:
  Definition(const TensorSketchPlan& plan, const double* x, std::size_t D)
      : plan_(plan), D_(D), K_(static_cast<std::size_t>(plan.factors[0].K)) {
    for (const CountSketchPlan& factor : plan.factors) {
      targets_.push_back(factor.target.to_vector<std::int32_t>());
      codes_.emplace_back(K_);
      for (std::size_t d = 0; d <= D; ++d)
        codes_.back()[bucket(codes_.size() - 1, d)] +=
            sign(codes_.size() - 1, d) *
            (d < D ? std::sqrt((long double)plan.gamma) * x[d] : std::sqrt((long double)plan.c));
    }
  }
  /// The convolution of all codes but the one left out.
  Row product(std::size_t without) const {
    Row z(K_);
    z[0] = 1;
    for (std::size_t j = 0; j < codes_.size(); ++j) {
      if (j == without) continue;
      Row next(K_);
      for (std::size_t a = 0; a < K_; ++a)
        for (std::size_t b = 0; b < K_; ++b) next[(a + b) % K_] += z[a] * codes_[j][b];
      z = next;
    }
    return z;
  }
  Row gradient(const double* dy) const {
    Row dx(D_);
    for (std::size_t j = 0; j < codes_.size(); ++j) {
      const Row others = product(j);
      for (std::size_t d = 0; d < D_; ++d)
        for (std::size_t k = 0; k < K_; ++k)
          dx[d] += std::sqrt((long double)plan_.gamma) * sign(j, d) * others[k] *
                   dy[(bucket(j, d) + k) % K_];
    }
    return dx;
  }

 private:
  std::size_t bucket(std::size_t j, std::size_t d) const {
    return static_cast<std::size_t>(targets_[j][d] / 2);
  }
  int sign(std::size_t j, std::size_t d) const { return targets_[j][d] % 2 ? -1 : 1; }

  const TensorSketchPlan& plan_;
  std::size_t D_, K_;
  std::vector<std::vector<std::int32_t>> targets_;
  std::vector<Row> codes_;
};

class TensorSketchTest : public DeviceTest {
 protected:
  Tensor forward(const Tensor& x, const TensorSketchPlan& plan) const {
    Tensor y = make_like({x.dim(0), plan.factors[0].K});
    tensor_sketch_forward(y, x, plan);
    return y;
  }
  Tensor backward(const Tensor& dy, const Tensor& x, const TensorSketchPlan& plan) const {
    Tensor dx = make_like(x.shape());
    tensor_sketch_backward(dx, dy, x, plan);
    return dx;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(TensorSketchTest);

TEST_P(TensorSketchTest, HandNumbers) {
  // x = 1, gamma = 4, c = 9: the vector (2, 3). Factor 0 puts 2 into bucket 1 and 3 into 0, factor
  // 1 puts -2 into 2 and 3 into 0: (3,2,0) * (3,0,-2) = (9 - 4, 6, -6).
  // From dy = (1,0,0): dC_0 = (3,-2,0), dC_1 = (3,0,2), dx = 2 (dC_0,1 - dC_1,2) = -8.
  TensorSketchPlan plan{4, 9, {}};
  const auto table = [&](std::vector<std::int32_t> v, const Shape& shape) {
    return Tensor::from(v, shape, device());
  };
  plan.factors.push_back({2, 3, table({2, 0}, {2}), table({2, 0, -1}, {1, 3})});
  plan.factors.push_back({2, 3, table({5, 0}, {2}), table({2, -1, 1}, {1, 3})});
  const Tensor x = make({1}, {1, 1});
  expect_close(forward(x, plan), {5, 6, -6}, tolerance());
  expect_close(backward(make({1, 0, 0}, {1, 3}), x, plan), {-8}, tolerance());
}

TEST_P(TensorSketchTest, MatchesDefinition) {
  struct Case {
    std::int64_t N, D, K;
  };
  for (const int degree : {1, 2, 3})
    for (const auto& [N, D, K] :
         {Case{1, 1, 1}, Case{3, 20, 3}, Case{5, 31, 16}, Case{18, 9, 7}, Case{2, 64, 130}}) {
      const TensorSketchPlan plan = tensor_sketch_plan(
          D, K, {.degree = degree, .gamma = 0.3, .c = 0.5, .seed = 5, .layer = 1}, device());
      const Tensor x = make(random_values(N * D, 1, 1), {N, D});
      const Tensor dy = make(random_values(N * K, 1, 2), {N, K});
      const auto xv = to_doubles(x), dyv = to_doubles(dy);
      std::vector<double> y, dx;
      for (std::int64_t n = 0; n < N; ++n) {
        const Definition definition(plan, &xv[static_cast<std::size_t>(n * D)],
                                    static_cast<std::size_t>(D));
        for (long double v : definition.product(kMaxDegree)) y.push_back(static_cast<double>(v));
        for (long double v : definition.gradient(&dyv[static_cast<std::size_t>(n * K)]))
          dx.push_back(static_cast<double>(v));
      }
      const std::string what = detail::concat("degree ", degree, " N ", N, " D ", D, " K ", K);
      // Chains of up to 130 terms, one after another for each degree.
      expect_close(forward(x, plan), y, 2 * tolerance(), what);
      expect_close(backward(dy, x, plan), dx, 2 * tolerance(), what);
    }
}

TEST_P(TensorSketchTest, EveryDeviceGivesTheSameBits) {
  const auto expect_same = [&](int degree, std::int64_t N, std::int64_t D, std::int64_t K) {
    const TensorSketchOptions options{.degree = degree, .gamma = 0.3, .c = 0.5, .seed = 5};
    const TensorSketchPlan plan = tensor_sketch_plan(D, K, options, device());
    const TensorSketchPlan host = tensor_sketch_plan(D, K, options);
    const Tensor x = make(random_values(N * D, 1, 1), {N, D});
    const Tensor dy = make(random_values(N * K, 1, 2), {N, K});
    Tensor y = Tensor::empty({N, K}, dtype()), dx = Tensor::empty({N, D}, dtype());
    tensor_sketch_forward(y, x.to(Device::cpu()), host);
    tensor_sketch_backward(dx, dy.to(Device::cpu()), x.to(Device::cpu()), host);
    EXPECT_TRUE(same_bytes(forward(x, plan), y)) << "degree " << degree << " K " << K;
    EXPECT_TRUE(same_bytes(backward(dy, x, plan), dx)) << "degree " << degree << " K " << K;
  };
  for (const int degree : {1, 2, 3}) expect_same(degree, 5, 100, 50);
  expect_same(kMaxDegree, 1, 3, kMaxTensorSketch);  // the most shared memory
}

TEST_P(TensorSketchTest, NoRows) {
  expect_no_launch();
  const TensorSketchPlan plan =
      tensor_sketch_plan(8, 4, {.degree = 2, .gamma = 1, .c = 1}, device());
  EXPECT_EQ(forward(make({}, {0, 8}), plan).numel(), 0);
  EXPECT_EQ(backward(make({}, {0, 4}), make({}, {0, 8}), plan).numel(), 0);
}

struct Moments {
  double mean = 0, variance = 0;
};

/// Of y(u) . y(v) over seeds, for two rows of 12 numbers.
Moments moments(const std::vector<double>& rows, int degree, double c, int seeds) {
  const Tensor x = Tensor::from(rows, {2, 12});
  const std::int64_t K = 16;
  Tensor y = Tensor::empty({2, K}, DType::f64);
  double sum = 0, squares = 0;
  for (int seed = 0; seed < seeds; ++seed) {
    tensor_sketch_forward(
        y, x,
        tensor_sketch_plan(
            12, K,
            {.degree = degree, .gamma = 0.5, .c = c, .seed = static_cast<std::uint64_t>(seed)}));
    const double* p = y.data<double>();
    double dot = 0;
    for (std::int64_t k = 0; k < K; ++k) dot += p[k] * p[K + k];
    sum += dot;
    squares += dot * dot;
  }
  const double mean = sum / seeds;
  return {mean, squares / seeds - mean * mean};
}

TEST(TensorSketch, EstimatesThePolynomialKernel) {
  const std::vector<double> rows = random_values(24, 1, 3);
  double dot = 0;
  for (std::size_t i = 0; i < 12; ++i) dot += rows[i] * rows[12 + i];
  for (const int degree : {1, 2, 3}) {
    const int seeds = 3000;
    const Moments m = moments(rows, degree, 1.5, seeds);
    // Four standard errors of the mean.
    EXPECT_NEAR(m.mean, std::pow(0.5 * dot + 1.5, degree), 4 * std::sqrt(m.variance / seeds))
        << "degree " << degree;
  }
}

TEST(TensorSketch, VarianceOfDegreeOne) {
  // K Var = |x|^2 |y|^2 + (x.y)^2 - 2 sum x_i^2 y_i^2, times gamma^2. Of 30000 seeds the variance
  // is known to about sqrt(2 / 30000) = 0.8 %, more for a distribution with longer tails.
  const std::vector<double> rows = random_values(24, 1, 3);
  double xx = 0, yy = 0, xy = 0, quartic = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    const double x = rows[i], y = rows[12 + i];
    xx += x * x;
    yy += y * y;
    xy += x * y;
    quartic += x * x * y * y;
  }
  const double expected = 0.25 * (xx * yy + xy * xy - 2 * quartic) / 16;
  EXPECT_NEAR(moments(rows, 1, 0, 30000).variance, expected, 0.05 * expected);
}

TEST(TensorSketch, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t N = 40, D = 300, K = 33;
  const TensorSketchPlan plan = tensor_sketch_plan(D, K, {.degree = 3, .gamma = 0.1, .c = 1});
  const Tensor x = Tensor::from(random_values(N * D), {N, D}).to(DType::f32);
  expect_same_bits([&] {
    Tensor y = Tensor::empty({N, K}), dx = Tensor::empty({N, D});
    tensor_sketch_forward(y, x, plan);
    tensor_sketch_backward(dx, y, x, plan);
    return std::vector{y, dx};
  });
}

TEST(TensorSketch, Rejections) {
  const TensorSketchOptions good{.degree = 2, .gamma = 1, .c = 1};
  const TensorSketchPlan plan = tensor_sketch_plan(8, 4, good);
  Tensor x = Tensor::zeros({2, 8}), y = Tensor::zeros({2, 4}), wrong = Tensor::zeros({2, 5});
  expect_error([] { tensor_sketch_plan(8, 4, {.gamma = 1, .c = 1}); },
               "tensor_sketch_plan: degree is 0; expected 1 to 3");
  expect_error([] { tensor_sketch_plan(8, 4, {.degree = 2, .c = 1}); },
               "tensor_sketch_plan: gamma is nan; expected > 0");
  expect_error([] { tensor_sketch_plan(8, 4, {.degree = 2, .gamma = 1}); },
               "tensor_sketch_plan: c is nan; expected >= 0");
  expect_error([&] { tensor_sketch_plan(0, 4, good); }, "tensor_sketch_plan: D is 0");
  expect_error([&] { tensor_sketch_plan(8, 1025, good); },
               "tensor_sketch_plan: K is 1025; expected 1 to 1024");
  expect_error([&] { tensor_sketch_forward(wrong, x, plan); },
               "tensor_sketch_forward: x has shape (2,8), y (2,5); expected (N,8) and (N,4)");
  expect_error([&] { tensor_sketch_forward(y, x, {}); }, "tensor_sketch_forward: plan is empty");
  expect_error([&] { tensor_sketch_forward(y, Tensor(), plan); },
               "tensor_sketch_forward: x or y is undefined");
  expect_error(
      [&] {
        tensor_sketch_backward(x, Tensor::zeros({2, 4}, DType::f64), x, plan);
      },
      "tensor_sketch_backward: x is f32, dy f64; expected equal dtypes");
  expect_error([&] { tensor_sketch_backward(wrong, y, x, plan); },
               "tensor_sketch_backward: dx is f32(2,5) on cpu, x f32(2,8) on cpu");
  Tensor integers = Tensor::zeros({2, 8}, DType::i32);
  expect_error([&] { tensor_sketch_forward(y, integers, plan); },
               "tensor_sketch_forward: x is i32; expected a floating dtype");
}

}  // namespace
}  // namespace limbeck::testing

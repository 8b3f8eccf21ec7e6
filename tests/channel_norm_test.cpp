// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/channel_norm.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

/// The definition, in long double; everything in x's order, sums (N,C).
struct Reference {
  std::vector<double> mean, variance, y, dx, frozen_dx, sum_dy, sum_dyn;

  Reference(const std::vector<double>& x, const std::vector<double>& dy,
            const std::vector<double>& w, const std::vector<double>& b, const Shape& s,
            std::int64_t G, double eps)
      : y(x.size()),
        dx(x.size()),
        frozen_dx(x.size()),
        sum_dy(static_cast<std::size_t>(s[0] * s[2])),
        sum_dyn(sum_dy) {
    const std::int64_t R = s[1], C = s[2], width = C / G;
    for (std::int64_t n = 0; n < s[0]; ++n)
      for (std::int64_t g = 0; g < G; ++g) {
        const auto each = [&](auto fn) {
          for (std::int64_t r = 0; r < R; ++r)
            for (std::int64_t c = g * width; c < (g + 1) * width; ++c)
              fn(static_cast<std::size_t>((n * R + r) * C + c), static_cast<std::size_t>(c));
        };
        const auto count = static_cast<long double>(R * width);
        long double m = 0, v = 0, sum = 0, along = 0;
        each([&](std::size_t i, std::size_t) { m += x[i] / count; });
        each([&](std::size_t i, std::size_t) { v += (x[i] - m) * (x[i] - m) / count; });
        const long double rstd = 1 / std::sqrt(v + eps);
        each([&](std::size_t i, std::size_t c) {
          const long double norm = (x[i] - m) * rstd;
          y[i] = static_cast<double>(norm * w[c] + b[c]);
          sum += dy[i] * w[c] / count;
          along += dy[i] * w[c] * norm / count;
          sum_dy[static_cast<std::size_t>(n * C) + c] += dy[i];
          sum_dyn[static_cast<std::size_t>(n * C) + c] += static_cast<double>(dy[i] * norm);
        });
        each([&](std::size_t i, std::size_t c) {
          const long double norm = (x[i] - m) * rstd;
          dx[i] = static_cast<double>(rstd * (dy[i] * w[c] - sum - norm * along));
          frozen_dx[i] = static_cast<double>(rstd * dy[i] * w[c]);
        });
        mean.push_back(static_cast<double>(m));
        variance.push_back(static_cast<double>(v));
      }
  }
};

struct Result {
  Tensor mean, variance, y, dx, frozen_dx, sum_dy, sum_dyn;
  std::vector<Tensor> all() const { return {mean, variance, y, dx, frozen_dx, sum_dy, sum_dyn}; }
};

Result run(const Tensor& x, const Tensor& dy, const Tensor& w, const Tensor& b, std::int64_t G,
           double eps) {
  const DType statistics = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Result r;
  r.mean = Tensor::full({x.dim(0), G}, 777, statistics, x.device());
  r.variance = r.mean.clone();
  r.sum_dy = Tensor::full({x.dim(0), x.dim(2)}, 777, statistics, x.device());
  r.sum_dyn = r.sum_dy.clone();
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.frozen_dx = r.y.clone();
  channel_statistics(r.mean, r.variance, x);
  channel_norm_forward(r.y, x, r.mean, r.variance, w, b, eps);
  channel_norm_sums(r.sum_dy, r.sum_dyn, dy, x, r.mean, r.variance, eps);
  channel_norm_backward(r.dx, dy, x, r.mean, r.variance, w, r.sum_dy, r.sum_dyn, eps);
  channel_norm_backward(r.frozen_dx, dy, x, r.mean, r.variance, w, {}, {}, eps);
  return r;
}

class ChannelNormTest : public DeviceTest {
 protected:
  double statistics_tolerance() const { return dtype() == DType::f64 ? 1e-12 : 2e-6; }

  void compare(const Shape& s, std::int64_t G, double mean, bool parameters) const {
    const std::int64_t C = s[2];
    auto values = random_values(s.numel(), 2, 1);
    for (double& v : values) v += mean;
    const Tensor x = make(values, s), dy = make(random_values(s.numel(), 1, 2), s);
    const Tensor w = make(random_values(C, 1, 3), {C}), b = make(random_values(C, 1, 4), {C});
    const auto constant = [&](double v) {
      return std::vector<double>(static_cast<std::size_t>(C), v);
    };
    const Reference expected(to_doubles(x), to_doubles(dy),
                             parameters ? to_doubles(w) : constant(1),
                             parameters ? to_doubles(b) : constant(0), s, G, 1e-3);
    const Result r = run(x, dy, parameters ? w : Tensor(), parameters ? b : Tensor(), G, 1e-3);
    const std::string what = s.str() + " in " + std::to_string(G) + " groups: ";
    // The mean is off by an ulp of itself, and so then is every difference from it.
    const double far = 1 + std::abs(mean);
    // Relative to the elements, whose sum may be next to nothing.
    expect_close(to_doubles(r.mean), expected.mean, statistics_tolerance(), what + "mean",
                 2 * statistics_tolerance());
    // The means of a group's channels are off by an ulp each, 3e-5 at 1000.
    expect_close(r.variance, expected.variance, (mean == 0 ? 1 : 8) * statistics_tolerance(),
                 what + "variance");
    expect_close(r.y, expected.y, tolerance() * far, what + "y");
    expect_close(r.sum_dy, expected.sum_dy, 4 * statistics_tolerance(), what + "sum_dy");
    expect_close(r.sum_dyn, expected.sum_dyn, 4 * statistics_tolerance() * far, what + "sum_dyn");
    expect_close(r.dx, expected.dx, 2 * tolerance() * far, what + "dx");
    expect_close(r.frozen_dx, expected.frozen_dx, tolerance(), what + "frozen dx");
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ChannelNormTest);

TEST_P(ChannelNormTest, HandNumbers) {
  // One channel, x = (1,3): mean 2, variance 1, eps 3: rstd = 1/2, n = (-1,1)/2; y = 4 n + 1.
  // dy = (1,0), w = 4: mean of g = 2, of g n = -1: dx = (1/2) ((4,0) - 2 + n) = (3/4,-3/4).
  const Result r =
      run(make({1, 3}, {1, 2, 1}), make({1, 0}, {1, 2, 1}), make({4}, {1}), make({1}, {1}), 1, 3);
  expect_close(r.mean, {2}, 0);
  expect_close(r.variance, {1}, 0);
  expect_close(r.y, {-1, 3}, tolerance());
  expect_close(r.sum_dy, {1}, 0);
  expect_close(r.sum_dyn, {-0.5}, tolerance());
  expect_close(r.dx, {0.75, -0.75}, 4 * tolerance());
  expect_close(r.frozen_dx, {2, 0}, tolerance());
}

TEST_P(ChannelNormTest, MatchesDefinition) {
  compare({1, 37, 5}, 5, 0, true);     // batch norm
  compare({3, 7, 6}, 2, 0, true);      // group norm
  compare({2, 9, 3}, 3, 0, false);     // instance norm
  compare({2, 5, 70}, 1, 0, true);     // one group; more than a block of columns
  compare({4, 1, 8}, 2, 0, true);      // one cell
  compare({1, 300, 33}, 33, 0, true);  // several slabs, the last one shorter
  if (!device().is_cuda()) compare({2, 2100, 20}, 4, 0, true);  // several pieces of rows
}

TEST_P(ChannelNormTest, ALargeMeanCostsNoDigits) {
  // 16-bit inputs of this size are coarse but exact: the definition gets the same ones.
  const double mean = dtype_size(dtype()) < 4 ? 100 : 1000;
  compare({1, 150, 3}, 3, mean, true);
  compare({2, 40, 4}, 2, mean, true);
}

TEST_P(ChannelNormTest, AGroupThatIsConstantIsItsBias) {
  const Result r =
      run(Tensor::full({2, 5, 4}, 3, dtype(), device()), make(random_values(40), {2, 5, 4}),
          Tensor(), Tensor::full({4}, 5, dtype(), device()), 2, 1e-5);
  expect_close(r.y, std::vector<double>(40, 5), 0);
  expect_close(r.variance, std::vector<double>(4, 0), 0);
}

TEST_P(ChannelNormTest, GradientIsOrthogonalToWhatStatisticsRemove) {
  const Tensor x = make(random_values(2 * 30 * 4, 1, 1), {2, 30, 4});
  const Tensor dy = make(random_values(2 * 30 * 4, 1, 2), {2, 30, 4});
  const Result r = run(x, dy, Tensor(), Tensor(), 2, 1e-12);
  const auto dx = to_doubles(r.dx), in = to_doubles(x);
  for (std::size_t n = 0; n < 2; ++n)
    for (std::size_t g = 0; g < 2; ++g) {
      double sum = 0, along = 0;
      for (std::size_t i = n * 120; i < (n + 1) * 120; ++i)
        if (i % 4 / 2 == g) sum += dx[i], along += dx[i] * in[i];
      // 60 elements of size 2, each rounded.
      EXPECT_NEAR(sum, 0, 60 * tolerance());
      EXPECT_NEAR(along, 0, 60 * tolerance());
    }
}

TEST_P(ChannelNormTest, MayWriteOverItsInput) {
  Tensor x = make(random_values(120, 5, 1), {2, 15, 4});
  Tensor dy = make(random_values(120, 1, 2), {2, 15, 4});
  const Result r = run(x, dy, Tensor(), Tensor(), 2, 1e-5);
  channel_norm_backward(dy, dy, x, r.mean, r.variance, {}, r.sum_dy, r.sum_dyn, 1e-5);
  EXPECT_TRUE(same_bytes(dy, r.dx));
  channel_norm_forward(x, x, r.mean, r.variance, {}, {}, 1e-5);
  EXPECT_TRUE(same_bytes(x, r.y));
}

TEST_P(ChannelNormTest, NoSamples) {
  expect_no_launch();
  EXPECT_EQ(run(make({}, {0, 3, 4}), make({}, {0, 3, 4}), {}, {}, 2, 1).y.numel(), 0);
}

TEST(ChannelNorm, SameBitsForThreadsAndInstructionSets) {
  for (const auto& [s, G] : {std::pair{Shape{1, 5000, 10}, 10}, std::pair{Shape{5, 300, 96}, 4}})
    expect_same_bits([&, shape = s, groups = G] {
      const Tensor x = Tensor::from(random_values(shape.numel(), 5, 1), shape).to(DType::f32);
      const Tensor w = Tensor::from(random_values(shape[2], 5, 2), {shape[2]}).to(DType::f32);
      return run(x, x, w, w, groups, 1e-5).all();
    });
}

TEST(ChannelNorm, Rejections) {
  Tensor x = Tensor::zeros({2, 3, 4}), wrong = Tensor::zeros({2, 4, 3}), m = Tensor::zeros({2, 2});
  Tensor sums = Tensor::zeros({2, 4}), v = m.clone(), odd = Tensor::zeros({2, 3});
  const Tensor none, c = Tensor::zeros({4});
  expect_error(
      [&] {
        channel_statistics(m, v, Tensor::zeros({2, 4}));
      },
      "channel_statistics: x has shape (2,4); expected (N,R,C) with R >= 1");
  expect_error(
      [&] {
        channel_statistics(m, v, Tensor::zeros({2, 0, 4}));
      },
      "channel_statistics: x has shape (2,0,4); expected (N,R,C) with R >= 1");
  expect_error([&] { channel_statistics(odd, odd, x); },
               "channel_statistics: mean has shape (2,3), x (2,3,4); expected (N,G)");
  expect_error([&] { channel_statistics(m, odd, x); },
               "channel_statistics: variance is f32(2,3) on cpu, x f32(2,3,4) on cpu; expected "
               "f32(2,2)");
  expect_error([&] { channel_norm_forward(wrong, x, m, v, c, c, 1); },
               "channel_norm_forward: y is f32(2,4,3) on cpu, x f32(2,3,4)");
  expect_error([&] { channel_norm_forward(x, x, m, v, m, c, 1); },
               "channel_norm_forward: weight is f32(2,2) on cpu");
  expect_error([&] { channel_norm_forward(x, x, m, v, c, m, 1); },
               "channel_norm_forward: bias is f32(2,2) on cpu");
  expect_error([&] { channel_norm_forward(x, x, m, v, c, c, -1); },
               "channel_norm_forward: eps is -1; expected > 0");
  expect_error([&] { channel_norm_sums(sums, m, x, x, m, v, 1); },
               "channel_norm_sums: sum_dyn is f32(2,2) on cpu");
  expect_error([&] { channel_norm_sums(sums, sums, wrong, x, m, v, 1); },
               "channel_norm_sums: dy is f32(2,4,3)");
  expect_error([&] { channel_norm_backward(x, x, x, m, v, c, sums, none, 1); },
               "channel_norm_backward: sum_dyn is undefined; expected (2,4)");
  expect_error([&] { channel_norm_backward(wrong, x, x, m, v, c, none, none, 1); },
               "channel_norm_backward: dx is f32(2,4,3)");
}

}  // namespace
}  // namespace limbeck::testing

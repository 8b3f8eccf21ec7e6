// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/channel_norm.h>

#include <limbeck/kernels/activation.h>
#include <limbeck/kernels/elementwise.h>
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
  const ChannelNorm norm = {r.mean, r.variance, w, b, eps};
  r.sum_dy = Tensor::full({x.dim(0), x.dim(2)}, 777, statistics, x.device());
  r.sum_dyn = r.sum_dy.clone();
  r.y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  r.dx = r.y.clone();
  r.frozen_dx = r.y.clone();
  channel_statistics(r.mean, r.variance, x);
  channel_norm_forward(r.y, x, norm);
  channel_norm_sums(r.sum_dy, r.sum_dyn, dy, x, norm);
  channel_norm_backward(r.dx, dy, x, norm, r.sum_dy, r.sum_dyn);
  channel_norm_backward(r.frozen_dx, dy, x, norm, {}, {});
  return r;
}

/// A norm and what follows it, forward and backward: {y, dz, sum_dy, sum_dyn, dx, frozen dx}, where
/// dz is the gradient of what is before the relu.
std::vector<Tensor> separate_ops(const Tensor& x, const Tensor& dy, const Tensor& skip,
                                 const ChannelNorm& norm) {
  Tensor y = Tensor::empty_like(x), dz = y.clone(), dx = y.clone(), frozen_dx = y.clone();
  Tensor sum_dy = Tensor::empty({x.dim(0), x.dim(2)}, norm.mean.dtype(), x.device());
  Tensor sum_dyn = sum_dy.clone();
  channel_norm_forward(y, x, norm);
  if (skip.defined()) add(y, y, skip);
  activation_forward(y, y, Activation::relu);
  activation_backward(dz, dy, y, Activation::relu);
  channel_norm_sums(sum_dy, sum_dyn, dz, x, norm);
  channel_norm_backward(dx, dz, x, norm, sum_dy, sum_dyn);
  channel_norm_backward(frozen_dx, dz, x, norm, {}, {});
  return {y, dz, sum_dy, sum_dyn, dx, frozen_dx};
}

/// The same, dz but with a skip, as one op; every output starts as 777.
std::vector<Tensor> one_op(const Tensor& x, const Tensor& dy, const Tensor& skip,
                           ChannelNorm norm) {
  Tensor y = Tensor::full(x.shape(), 777, x.dtype(), x.device());
  Tensor dz = y.clone(), dx = y.clone(), frozen_dx = y.clone();
  Tensor sum_dy = Tensor::full({x.dim(0), x.dim(2)}, 777, norm.mean.dtype(), x.device());
  Tensor sum_dyn = sum_dy.clone();
  if (skip.defined()) {
    channel_norm_add_relu_forward(y, x, skip, norm);
    channel_norm_add_relu_sums(sum_dy, sum_dyn, dz, dy, y, x, norm);
  } else {
    norm.relu = true;
    channel_norm_forward(y, x, norm);
    activation_backward(dz, dy, y, Activation::relu);
    channel_norm_sums(sum_dy, sum_dyn, dy, x, norm);
  }
  const Tensor& gradient = skip.defined() ? dz : dy;
  channel_norm_backward(dx, gradient, x, norm, sum_dy, sum_dyn);
  channel_norm_backward(frozen_dx, gradient, x, norm, {}, {});
  return {y, dz, sum_dy, sum_dyn, dx, frozen_dx};
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

  /// With values around 0, so that the relu cuts half of them off, and some so small that in 16
  /// bits they round to 0 or -0.
  void expect_the_bits_of_separate_ops(const Shape& s, std::int64_t G, bool parameters,
                                       double size = 1) const {
    const std::int64_t C = s[2];
    const Tensor x = make(random_values(s.numel(), 2, 1), s);
    const Tensor dy = make(random_values(s.numel(), 1, 2), s);
    const Tensor skip = make(random_values(s.numel(), size, 5), s);
    ChannelNorm norm;
    norm.mean = Tensor::zeros({s[0], G}, dtype() == DType::f64 ? dtype() : DType::f32, device());
    norm.variance = norm.mean.clone();
    norm.eps = 1e-3;
    channel_statistics(norm.mean, norm.variance, x);
    if (parameters) norm.weight = make(random_values(C, size, 3), {C});
    if (parameters) norm.bias = make(random_values(C, size, 4), {C});
    const char* const names[] = {"y", "dz", "sum_dy", "sum_dyn", "dx", "frozen dx"};
    for (const Tensor& added : {Tensor(), skip}) {
      const auto expected = separate_ops(x, dy, added, norm), actual = one_op(x, dy, added, norm);
      for (std::size_t i = 0; i < expected.size(); ++i)
        EXPECT_TRUE(same_bytes(actual[i], expected[i]))
            << s << " in " << G << " groups, " << names[i] << (added.defined() ? " with skip" : "");
    }
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

// As above, y = 4 n + 1 = (-1,3); a relu makes it (0,3), and of dy = (1,2) only 2 counts: sums 2
// and
// 1. mean of g = 4, of g n = 2: dx = (1/2) ((0,8) - 4 - 2 n) = (-3/2,3/2). With skip = (2,-4) it is
// y = (1,0), dz = (1,0), and the rest as above.
TEST_P(ChannelNormTest, ReluHandNumbers) {
  const Shape s{1, 2, 1};
  const Tensor x = make({1, 3}, s);
  const Result r = run(x, x, Tensor(), Tensor(), 1, 3);
  const ChannelNorm norm = {r.mean, r.variance, make({4}, {1}), make({1}, {1}), 3};
  const auto relu = one_op(x, make({1, 2}, s), Tensor(), norm);
  const std::vector<double> relu_expected[] = {{0, 3}, {0, 2}, {2}, {1}, {-1.5, 1.5}, {0, 4}};
  const auto sum = one_op(x, make({1, 2}, s), make({2, -4}, s), norm);
  const std::vector<double> sum_expected[] = {{1, 0}, {1, 0}, {1}, {-0.5}, {0.75, -0.75}, {2, 0}};
  for (std::size_t i = 0; i < 6; ++i) {
    expect_close(relu[i], relu_expected[i], 4 * tolerance(), "relu");
    expect_close(sum[i], sum_expected[i], 4 * tolerance(), "add and relu");
  }
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

TEST_P(ChannelNormTest, OneOpHasTheBitsOfSeparateOps) {
  expect_the_bits_of_separate_ops({1, 37, 5}, 5, true);
  expect_the_bits_of_separate_ops({3, 7, 6}, 2, true);
  expect_the_bits_of_separate_ops({1, 300, 33}, 33, false);
  expect_the_bits_of_separate_ops({1, 21, 16}, 16, true, 1e-7);   // f16 has 2^-24,
  expect_the_bits_of_separate_ops({1, 21, 16}, 16, true, 1e-40);  // bf16 2^-133
  expect_the_bits_of_separate_ops({1, 9, 70}, 70, true);
  if (device().is_cuda()) return;
  expect_the_bits_of_separate_ops({2, 2100, 32}, 4, true);  // several pieces of rows
  expect_the_bits_of_separate_ops({1, 700, 64}, 64, true);
}

// 0 is not above 0, and nothing is known of a NaN.
TEST_P(ChannelNormTest, ReluCutsOffZeroAndLetsNaNThrough) {
  const Shape s{1, 4, 1};
  ChannelNorm norm{make({0}, {1, 1}).to(dtype() == DType::f64 ? dtype() : DType::f32),
                   make({0}, {1, 1}).to(dtype() == DType::f64 ? dtype() : DType::f32)};
  norm.eps = 1;
  const double nan = std::nan("");
  const auto r = one_op(make({0, -1, 2, nan}, s), make({1, 1, 1, 1}, s), Tensor(), norm);
  const auto y = to_doubles(r[0]);
  EXPECT_EQ(std::vector<double>(y.begin(), y.end() - 1), (std::vector<double>{0, 0, 2}));
  EXPECT_TRUE(std::isnan(y[3]));
  EXPECT_EQ(to_doubles(r[2]), std::vector<double>{1});
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
  const ChannelNorm norm = {r.mean, r.variance};
  const auto sum = one_op(x, dy, x, norm);
  Tensor dz = dy.clone(), sum_dy = r.sum_dy.clone(), sum_dyn = r.sum_dyn.clone(), y = x.clone();
  channel_norm_add_relu_sums(sum_dy, sum_dyn, dz, dz, sum[0], x, norm);
  EXPECT_TRUE(same_bytes(dz, sum[1]));
  EXPECT_TRUE(same_bytes(sum_dyn, sum[3]));
  channel_norm_add_relu_forward(y, y, y, norm);
  EXPECT_TRUE(same_bytes(y, sum[0]));
  channel_norm_backward(dy, dy, x, norm, r.sum_dy, r.sum_dyn);
  EXPECT_TRUE(same_bytes(dy, r.dx));
  channel_norm_forward(x, x, norm);
  EXPECT_TRUE(same_bytes(x, r.y));
}

TEST_P(ChannelNormTest, NoSamples) {
  expect_no_launch();
  const Tensor none = make({}, {0, 3, 4});
  const Result r = run(none, none, {}, {}, 2, 1);
  EXPECT_EQ(r.y.numel(), 0);
  EXPECT_EQ(one_op(none, none, none, {r.mean, r.variance})[0].numel(), 0);
}

TEST(ChannelNorm, SameBitsForThreadsAndInstructionSets) {
  for (const auto& [s, G] : {std::pair{Shape{1, 5000, 10}, 10}, std::pair{Shape{5, 300, 96}, 4},
                             std::pair{Shape{1, 5000, 16}, 16}})
    expect_same_bits([&, shape = s, groups = G] {
      const Tensor x = Tensor::from(random_values(shape.numel(), 5, 1), shape).to(DType::f32);
      const Tensor w = Tensor::from(random_values(shape[2], 5, 2), {shape[2]}).to(DType::f32);
      const Result r = run(x, x, w, w, groups, 1e-5);
      std::vector<Tensor> all = r.all();
      for (const Tensor& skip : {Tensor(), x})
        for (const Tensor& t : one_op(x, x, skip, {r.mean, r.variance, w, w})) all.push_back(t);
      return all;
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
  const ChannelNorm norm = {m, v, c, c};
  const auto with = [&](auto change) {
    ChannelNorm changed = norm;
    change(changed);
    return changed;
  };
  expect_error([&] { channel_norm_forward(wrong, x, norm); },
               "channel_norm_forward: y is f32(2,4,3) on cpu, x f32(2,3,4)");
  expect_error([&] { channel_norm_forward(x, x, with([&](auto& n) { n.weight = m; })); },
               "channel_norm_forward: weight is f32(2,2) on cpu");
  expect_error([&] { channel_norm_forward(x, x, with([&](auto& n) { n.bias = m; })); },
               "channel_norm_forward: bias is f32(2,2) on cpu");
  expect_error([&] { channel_norm_forward(x, x, with([&](auto& n) { n.eps = -1; })); },
               "channel_norm_forward: eps is -1; expected > 0");
  expect_error([&] { channel_norm_add_relu_forward(x, x, wrong, norm); },
               "channel_norm_add_relu_forward: skip is f32(2,4,3) on cpu, x f32(2,3,4)");
  const ChannelNorm relu = with([](auto& n) { n.relu = true; });
  expect_error([&] { channel_norm_add_relu_forward(x, x, x, relu); },
               "channel_norm_add_relu_forward: the norm has a relu of its own; expected none");
  expect_error([&] { channel_norm_sums(sums, m, x, x, norm); },
               "channel_norm_sums: sum_dyn is f32(2,2) on cpu");
  expect_error([&] { channel_norm_sums(sums, sums, wrong, x, norm); },
               "channel_norm_sums: dy is f32(2,4,3)");
  expect_error([&] { channel_norm_add_relu_sums(sums, sums, wrong, x, x, x, norm); },
               "channel_norm_add_relu_sums: dz is f32(2,4,3)");
  expect_error([&] { channel_norm_add_relu_sums(sums, sums, x, wrong, x, x, norm); },
               "channel_norm_add_relu_sums: dy is f32(2,4,3)");
  expect_error([&] { channel_norm_add_relu_sums(sums, sums, x, x, wrong, x, norm); },
               "channel_norm_add_relu_sums: y is f32(2,4,3)");
  expect_error([&] { channel_norm_add_relu_sums(m, sums, x, x, x, x, norm); },
               "channel_norm_add_relu_sums: sum_dy is f32(2,2)");
  expect_error([&] { channel_norm_add_relu_sums(sums, sums, x, x, x, x, relu); },
               "channel_norm_add_relu_sums: the norm has a relu of its own");
  expect_error([&] { channel_norm_backward(x, x, x, norm, sums, none); },
               "channel_norm_backward: sum_dyn is undefined; expected (2,4)");
  expect_error([&] { channel_norm_backward(wrong, x, x, norm, none, none); },
               "channel_norm_backward: dx is f32(2,4,3)");
}

}  // namespace
}  // namespace limbeck::testing

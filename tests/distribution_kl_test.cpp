// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/distribution_kl.h>

#include <functional>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr DistributionKl kKinds[] = {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace,
                                     DistributionKl::gauss_laplace};

/// What one pair of distributions is described by.
struct Pair {
  double m1, s1, m2, s2;
};

double log_density(bool gauss, double x, double mean, double log_scale) {
  if (gauss)
    return -0.5 * (std::log(2 * std::acos(-1.0)) + log_scale +
                   (x - mean) * (x - mean) * std::exp(-log_scale));
  return -std::log(2.0) - log_scale - std::abs(x - mean) * std::exp(-log_scale);
}

/// The divergence by Simpson's rule between the corners of the densities.
double quadrature(DistributionKl kind, const Pair& d) {
  const bool gauss_p = kind != DistributionKl::laplace_laplace;
  const bool gauss_q = kind == DistributionKl::gauss_gauss;
  const double reach = gauss_p ? 14 * std::exp(d.s1 / 2) : 50 * std::exp(d.s1);
  std::vector<double> corners{d.m1 - reach, d.m1, d.m2, d.m1 + reach};
  std::sort(corners.begin(), corners.end());
  double total = 0;
  for (std::size_t i = 0; i + 1 < corners.size(); ++i) {
    const int steps = 4000;
    const double h = (corners[i + 1] - corners[i]) / steps;
    for (int j = 0; j <= steps; ++j) {
      const double x = corners[i] + h * j;
      const double p = log_density(gauss_p, x, d.m1, d.s1);
      const double value = std::exp(p) * (p - log_density(gauss_q, x, d.m2, d.s2));
      total += value * h / 3 * (j == 0 || j == steps ? 1 : j % 2 ? 4 : 2);
    }
  }
  return total;
}

const std::vector<Pair>& pairs() {
  static const std::vector<Pair> all{{0, 0, 0, 0.3},       {0.4, -0.5, -0.7, 0.2},
                                     {-1, 1.1, 0.5, -0.6}, {2, 0.2, 2, -0.9},
                                     {0.1, -1, 0.2, -1.2}, {3, 0.5, -2, 1}};
  return all;
}

class DistributionKlTest : public DeviceTest {
 protected:
  DType compute() const { return dtype() == DType::f64 ? DType::f64 : DType::f32; }
  DistributionKlOutputs run(const Distribution& p, const Distribution& q,
                            const DistributionKlOptions& options) const {
    const auto scale_of = [&](const Distribution& d) {
      return d.log_scale.shape() == d.mean.shape() ? make_like(d.mean.shape()) : Tensor();
    };
    DistributionKlOutputs out{Tensor::full({p.mean.dim(0)}, 777, compute(), device()),
                              {make_like(p.mean.shape()), scale_of(p)},
                              {make_like(q.mean.shape()), scale_of(q)}};
    distribution_kl_forward_with_grad(out, p, q, options);
    return out;
  }
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(DistributionKlTest);

TEST_P(DistributionKlTest, HandNumbers) {
  const auto kl = [&](DistributionKl kind, const Pair& d) {
    return run({make({d.m1}, {1, 1}), make({d.s1}, {1, 1})},
               {make({d.m2}, {1, 1}), make({d.s2}, {1, 1})}, {.kind = kind});
  };
  // Equal scales 1: 1/2 D^2, and D - 1 + e^-D.
  const auto gauss = kl(DistributionKl::gauss_gauss, {2, 0, 0, 0});
  expect_close(gauss.row_loss, {2}, tolerance());
  expect_close(gauss.dp.mean, {2}, tolerance());
  expect_close(gauss.dq.log_scale, {-2}, tolerance());
  const auto laplace = kl(DistributionKl::laplace_laplace, {2, 0, 0, 0});
  expect_close(laplace.row_loss, {1 + std::exp(-2)}, tolerance());
  expect_close(laplace.dq.mean, {std::exp(-2) - 1}, tolerance());
  // The Laplace of the Gaussian's mean size, b = sqrt(2/pi): 0.048417.
  const double l = 0.5 * std::log(2 / std::acos(-1.0));
  const auto mixed = kl(DistributionKl::gauss_laplace, {1, 0, 1, l});
  if (dtype_size(dtype()) >= 4) {
    EXPECT_NEAR(to_doubles(mixed.row_loss)[0], 0.048417, 1e-6);
    EXPECT_NEAR(to_doubles(mixed.dq.log_scale)[0], 0, 1e-6);  // the best b there is
  }
}

TEST_P(DistributionKlTest, MatchesQuadrature) {
  const auto n = static_cast<std::int64_t>(pairs().size());
  for (const DistributionKl kind : kKinds) {
    std::vector<double> m1, s1, m2, s2, expected;
    for (const Pair& d : pairs()) {
      m1.push_back(d.m1);
      s1.push_back(d.s1);
      m2.push_back(d.m2);
      s2.push_back(d.s2);
    }
    const Distribution p{make(m1, {n, 1}), make(s1, {n, 1})}, q{make(m2, {n, 1}), make(s2, {n, 1})};
    // Of the distributions as the dtype rounds them.
    m1 = to_doubles(p.mean), s1 = to_doubles(p.log_scale);
    m2 = to_doubles(q.mean), s2 = to_doubles(q.log_scale);
    for (std::size_t i = 0; i < m1.size(); ++i)
      expected.push_back(quadrature(kind, {m1[i], s1[i], m2[i], s2[i]}));
    expect_close(run(p, q, {.kind = kind}).row_loss, expected, dtype() == DType::f64 ? 1e-9 : 1e-6,
                 distribution_kl_name(kind));
  }
}

TEST_P(DistributionKlTest, RowsAreMeansOfTheirElements) {
  struct Case {
    std::int64_t R, C;
  };
  // A warp's columns, more of them, and more than the CPU takes at once; rows of several blocks.
  for (const auto& [R, C] : {Case{1, 31}, Case{9, 40}, Case{2, 300}})
    for (const DistributionKl kind : kKinds) {
      const Distribution p{random({R, C}, 1), random({R, C}, 2)};
      const Distribution q{random({R, C}, 3), random({R, C}, 4)};
      const auto whole = run(p, q, {.kind = kind, .mean_over = 5});
      const auto column = [&](const Tensor& t) { return t.reshape({R * C, 1}); };
      const auto each = run({column(p.mean), column(p.log_scale)},
                            {column(q.mean), column(q.log_scale)}, {.kind = kind, .mean_over = 1});
      std::vector<double> expected(static_cast<std::size_t>(R));
      const auto kl = to_doubles(each.row_loss);
      for (std::int64_t i = 0; i < R * C; ++i) expected[i / C] += kl[i] / static_cast<double>(C);
      const double exact = dtype() == DType::f64 ? 1e-12 : 2e-6;
      expect_close(whole.row_loss, expected, exact);
      const auto scaled = [&](const Tensor& grad) {
        std::vector<double> v = to_doubles(grad);
        for (double& x : v) x /= 5 * static_cast<double>(C);
        return v;
      };
      expect_close(whole.dp.mean, scaled(each.dp.mean), 2 * tolerance());
      expect_close(whole.dp.log_scale, scaled(each.dp.log_scale), 2 * tolerance());
      expect_close(whole.dq.mean, scaled(each.dq.mean), 2 * tolerance());
      expect_close(whole.dq.log_scale, scaled(each.dq.log_scale), 2 * tolerance());
    }
}

TEST_P(DistributionKlTest, EqualDistributionsAreZeroApartAndNearOnesPositive) {
  const std::int64_t C = 50;
  const Distribution p{random({1, C}, 1), random({1, C}, 2)};
  for (const DistributionKl kind : {DistributionKl::gauss_gauss, DistributionKl::laplace_laplace}) {
    const auto out = run(p, p, {.kind = kind});
    EXPECT_EQ(to_doubles(out.row_loss), std::vector<double>{0});
    for (const Tensor& grad : {out.dp.mean, out.dp.log_scale, out.dq.mean, out.dq.log_scale})
      EXPECT_EQ(to_doubles(grad), std::vector<double>(C, 0.0));
  }
  if (dtype_size(dtype()) < 4) return;
  // So near that a difference of logarithms would have no digit left: 1/2 (d^2/2 + d^2), and for
  // the Laplace d^2/2 twice.
  const double d = 1e-4;
  const Distribution near{make({d}, {1, 1}), make({d}, {1, 1})};
  const Distribution origin{make({0}, {1, 1}), make({0}, {1, 1})};
  expect_close(run(origin, near, {.kind = DistributionKl::gauss_gauss}).row_loss, {0.75 * d * d},
               2e-4);
  expect_close(run(origin, near, {.kind = DistributionKl::laplace_laplace}).row_loss, {d * d},
               2e-4);
}

TEST_P(DistributionKlTest, OneLogScaleForAll) {
  const Distribution p{random({3, 20}, 1), make({0.25}, {1})};
  const Distribution all{p.mean, make(std::vector<double>(60, 0.25), {3, 20})};
  const Distribution q{random({3, 20}, 3), random({3, 20}, 4)};
  for (const DistributionKl kind : kKinds) {
    const auto one = run(p, q, {.kind = kind}), each = run(all, q, {.kind = kind});
    EXPECT_TRUE(same_bytes(one.row_loss, each.row_loss));
    EXPECT_TRUE(same_bytes(one.dq.mean, each.dq.mean));
  }
}

TEST_P(DistributionKlTest, NoRows) {
  expect_no_launch();
  const Distribution none{make({}, {0, 3}), make({}, {0, 3})};
  EXPECT_EQ(run(none, none, {}).row_loss.numel(), 0);
}

TEST(DistributionKl, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t R = 40, C = 270;
  const auto random = [&](std::uint64_t seed) {
    return Tensor::from(random_values(R * C, 1, seed), {R, C}).to(DType::f32);
  };
  const Distribution p{random(1), random(2)}, q{random(3), random(4)};
  expect_same_bits([&] {
    std::vector<Tensor> results;
    for (const DistributionKl kind : kKinds) {
      const auto like = [&] { return Tensor::empty({R, C}); };
      DistributionKlOutputs out{Tensor::empty({R}), {like(), like()}, {like(), like()}};
      distribution_kl_forward_with_grad(out, p, q, {.kind = kind});
      results.insert(results.end(),
                     {out.row_loss, out.dp.mean, out.dp.log_scale, out.dq.mean, out.dq.log_scale});
    }
    return results;
  });
}

TEST(DistributionKl, Rejections) {
  const Tensor x = Tensor::zeros({2, 3}), one = Tensor::zeros({1});
  const auto rejects = [](DistributionKlOutputs out, const Distribution& p, const Distribution& q,
                          double mean_over, const std::string& message) {
    expect_error([&] { distribution_kl_forward_with_grad(out, p, q, {.mean_over = mean_over}); },
                 "distribution_kl: " + message);
  };
  rejects({}, {one, one}, {x, x}, 0, "p's mean has shape (1); expected (N,V)");
  rejects({}, {x, x}, {Tensor::zeros({2, 4}), x}, 0, "q's mean is f32(2,4) on cpu, p's mean");
  rejects({}, {x, Tensor::zeros({3})}, {x, x}, 0, "p's log_scale is f32(3) on cpu, its mean");
  rejects({{}, {{}, x}, {}}, {x, one}, {x, x}, 0,
          "gradient of p's log_scale asked for, which is one for all");
  rejects({Tensor::zeros({3}), {}, {}}, {x, x}, {x, x}, 0,
          "row_loss is f32(3) on cpu, x f32(2,3) on cpu; expected f32(2)");
  rejects({}, {x, x}, {x, x}, -1, "mean_over is -1; expected >= 0");
}

}  // namespace
}  // namespace limbeck::testing

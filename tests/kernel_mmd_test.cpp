// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/kernel_mmd.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Values = std::vector<double>;

struct Outcome {
  Tensor loss, ds;
};

class KernelMmdTest : public DeviceTest {
 protected:
  Outcome run(const Tensor& s, const Tensor& t, const KernelMmdOptions& options) const {
    const DType full = dtype() == DType::f64 ? DType::f64 : DType::f32;
    Outcome out{Tensor::full({1}, 777, full, device()), make_like(s.shape())};
    kernel_mmd_forward_with_grad(out.loss, out.ds, s, t, options);
    return out;
  }
  Tensor random(const Shape& shape, std::uint64_t seed, double scale = 1) const {
    return make(random_values(shape.numel(), scale, seed), shape);
  }
  double full_tolerance() const { return dtype() == DType::f64 ? 1e-12 : 4e-6; }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(KernelMmdTest);

// One point each, 3 and 0 on a line: 2 - 2 k with k = 1/2 e^-(9/8) + 1/2 e^-1, sigmas 2 and 3;
// ds = -2 (k_rbf (0 - 3)/4 + k_laplace (-1)/3).
TEST_P(KernelMmdTest, HandNumbers) {
  const Outcome out =
      run(make({3}, {1, 1}), make({0}, {1, 1}), {.sigma_rbf = 2, .sigma_laplace = 3});
  const double rbf = std::exp(-9.0 / 8) / 2, laplace = std::exp(-1.0) / 2;
  expect_close(out.loss, {2 - 2 * (rbf + laplace)}, full_tolerance());
  expect_close(out.ds, {2 * (rbf * 3 / 4 + laplace / 3)}, tolerance());
}

TEST_P(KernelMmdTest, MatchesComposition) {
  struct Case {
    std::int64_t B, M, D;
  };
  for (const auto& [B, M, D] : {Case{1, 3, 5}, Case{9, 4, 40}, Case{3, 2, 140}}) {
    const Tensor s = random({B, D}, 1), t = random({M, D}, 2);
    const Values x = to_doubles(s), y = to_doubles(t);
    const KernelMmdOptions o{
        .sigma_rbf = 3, .sigma_laplace = 9, .rbf_weight = 0.7, .laplace_weight = 0.4};
    Values ds(static_cast<std::size_t>(B * D));
    // The kernel of two rows; adds factor times its gradient with respect to the first.
    const auto kernel = [&, D = D](const double* a, const double* b, double* da, double factor) {
      double squares = 0, sizes = 0;
      for (std::int64_t d = 0; d < D; ++d) {
        squares += (a[d] - b[d]) * (a[d] - b[d]);
        sizes += std::abs(a[d] - b[d]);
      }
      const double rbf = 0.7 * std::exp(-squares / 18), laplace = 0.4 * std::exp(-sizes / 9);
      for (std::int64_t d = 0; da && d < D; ++d)
        da[d] += factor * (rbf * (b[d] - a[d]) / 9 + laplace * ((b[d] > a[d]) - (b[d] < a[d])) / 9);
      return rbf + laplace;
    };
    const auto b = static_cast<double>(B), m = static_cast<double>(M);
    double loss = 0;
    for (std::int64_t i = 0; i < B; ++i) {
      for (std::int64_t j = 0; j < B; ++j)
        loss += kernel(&x[i * D], &x[j * D], &ds[i * D], 2 / (b * b)) / (b * b);
      for (std::int64_t j = 0; j < M; ++j)
        loss -= 2 * kernel(&x[i * D], &y[j * D], &ds[i * D], -2 / (b * m)) / (b * m);
    }
    for (std::int64_t i = 0; i < M; ++i)
      for (std::int64_t j = 0; j < M; ++j)
        loss += kernel(&y[i * D], &y[j * D], nullptr, 0) / (m * m);
    const Outcome out = run(s, t, o);
    const std::string what = detail::concat("B ", B, " M ", M, " D ", D);
    // The loss is what is left of numbers of size 1.
    EXPECT_NEAR(to_doubles(out.loss)[0], loss, full_tolerance()) << what;
    expect_close(out.ds, ds, std::max(tolerance(), full_tolerance()), what);
  }
}

TEST_P(KernelMmdTest, EqualPopulationsAreZeroApart) {
  // A number of rows that warps do not share evenly, too.
  for (const std::int64_t B : {6, 13, 19}) {
    const Tensor s = random({B, 20}, 1);
    const Outcome out = run(s, s, {.sigma_rbf = 2, .sigma_laplace = 7});
    EXPECT_EQ(to_doubles(out.loss), Values{0}) << B;
    // Each pair occurs with both signs.
    for (const double g : to_doubles(out.ds)) EXPECT_NEAR(g, 0, 1e-7) << B;
    EXPECT_GT(to_doubles(run(s, random({B, 20}, 2), {.sigma_rbf = 2, .sigma_laplace = 7}).loss)[0],
              0.01);
  }
}

TEST_P(KernelMmdTest, NoRowBelongsToAnother) {
  // The source's rows in another order, and each of them twice.
  const Tensor s = random({4, 10}, 1), t = random({3, 10}, 2);
  const Values v = to_doubles(t);
  Values twice;
  for (const std::int64_t row : {2, 0, 1, 1, 2, 0})
    twice.insert(twice.end(), v.begin() + row * 10, v.begin() + (row + 1) * 10);
  const KernelMmdOptions o{.sigma_rbf = 2, .sigma_laplace = 5};
  const Outcome once = run(s, t, o), again = run(s, make(twice, {6, 10}), o);
  EXPECT_NEAR(to_doubles(once.loss)[0], to_doubles(again.loss)[0], full_tolerance());
  expect_close(again.ds, to_doubles(once.ds), tolerance());
}

TEST_P(KernelMmdTest, AKernelOrTheGradientMayBeLeftOut) {
  const Tensor s = random({5, 12}, 1), t = random({4, 12}, 2);
  const Outcome both = run(s, t, {.sigma_rbf = 2, .sigma_laplace = 5});
  const Outcome rbf = run(s, t, {.sigma_rbf = 2, .laplace_weight = 0});
  const Outcome laplace = run(s, t, {.sigma_laplace = 5, .rbf_weight = 0});
  EXPECT_NEAR(to_doubles(both.loss)[0], to_doubles(rbf.loss)[0] + to_doubles(laplace.loss)[0],
              full_tolerance());
  Tensor loss = Tensor::empty_like(both.loss), none;
  kernel_mmd_forward_with_grad(loss, none, s, t, {.sigma_rbf = 2, .sigma_laplace = 5});
  EXPECT_TRUE(same_bytes(loss, both.loss));
}

TEST(KernelMmd, GradientInDoubleIsTheSlope) {
  const std::int64_t B = 3, M = 4, D = 5;
  Tensor s = Tensor::from(random_values(B * D, 1, 1), {B, D});
  const Tensor t = Tensor::from(random_values(M * D, 1, 2), {M, D});
  Tensor loss = Tensor::empty({1}, DType::f64), ds = Tensor::empty_like(s), none;
  const KernelMmdOptions o{.sigma_rbf = 1.5, .sigma_laplace = 4};
  kernel_mmd_forward_with_grad(loss, ds, s, t, o);
  const Values grad = to_doubles(ds);
  Values slopes;
  for (std::int64_t i = 0; i < B * D; ++i) {
    double& x = s.data<double>()[i];
    const double kept = x, h = 1e-5;
    const auto at = [&](double value) {
      x = value;
      kernel_mmd_forward_with_grad(loss, none, s, t, o);
      return loss.item();
    };
    slopes.push_back((at(kept + h) - at(kept - h)) / (2 * h));
    x = kept;
  }
  expect_close(grad, slopes, 1e-8);
}

TEST(KernelMmd, SameBitsForThreadsAndInstructionSets) {
  const Tensor s = Tensor::from(random_values(9 * 70, 1, 1), {9, 70}).to(DType::f32);
  const Tensor t = Tensor::from(random_values(5 * 70, 1, 2), {5, 70}).to(DType::f32);
  expect_same_bits([&] {
    Tensor loss = Tensor::empty({1}), ds = Tensor::empty_like(s);
    kernel_mmd_forward_with_grad(loss, ds, s, t, {.sigma_rbf = 5, .sigma_laplace = 20});
    return std::vector<Tensor>{loss, ds};
  });
}

TEST(KernelMmd, Rejections) {
  const Tensor s = Tensor::zeros({2, 3});
  Tensor loss = Tensor::zeros({1}), ds;
  const KernelMmdOptions good{.sigma_rbf = 1, .sigma_laplace = 1};
  const auto rejects = [&](const Tensor& x, const Tensor& y, const KernelMmdOptions& o,
                           const std::string& message) {
    expect_error([&] { kernel_mmd_forward_with_grad(loss, ds, x, y, o); },
                 "kernel_mmd: " + message);
  };
  rejects(Tensor::zeros({3}), s, good, "s has shape (3); expected (N,V)");
  rejects(s, Tensor::zeros({2, 4}), good, "s is f32(2,3) on cpu, t f32(2,4) on cpu");
  rejects(s, Tensor::zeros({0, 3}), good, "s is f32(2,3) on cpu, t f32(0,3) on cpu");
  rejects(s, s, {.sigma_laplace = 1}, "sigma_rbf is nan; expected > 0");
  rejects(s, s, {.sigma_rbf = 1, .sigma_laplace = 0}, "sigma_laplace is 0; expected > 0");
  rejects(s, s, {.sigma_rbf = 1, .sigma_laplace = 1, .rbf_weight = -1},
          "rbf_weight is -1; expected >= 0");
  ds = Tensor::zeros({3, 3});
  rejects(s, s, good, "ds is f32(3,3) on cpu, s f32(2,3) on cpu; expected equal ones");
}

}  // namespace
}  // namespace limbeck::testing

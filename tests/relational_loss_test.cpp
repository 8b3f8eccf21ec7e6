// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/relational_loss.h>

#include <limbeck/kernels/pair_squares.h>
#include <limbeck/tests/relational_definition.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

using Values = std::vector<double>;

constexpr RelationalOptions kDistance{.distance_weight = 1, .angle_weight = 0};
constexpr RelationalOptions kAngle{.distance_weight = 0, .angle_weight = 1};

struct Outcome {
  Tensor loss, dsquares;
};

/// The loss's dtype is the parameter's; squares are f64 anyway.
class RelationalLossTest : public DeviceTest {
 protected:
  Outcome run(const Tensor& s, const Tensor& t, const RelationalOptions& options,
              bool gradient = true) const {
    Outcome out{make_like({1}), {}};
    if (gradient) out.dsquares = Tensor::full(s.shape(), 777, DType::f64, device());
    relational_loss_forward_with_grad(out.loss, out.dsquares, s, t, options);
    return out;
  }
  /// Squared sides of a triangle of points 0, 1 and 2.
  Tensor triangle(double a01, double a02, double a12) const {
    return Tensor::from(Values{0, a01, a02, a01, 0, a12, a02, a12, 0}, {3, 3}).to(device());
  }
  Tensor squares_of(const Values& x, std::int64_t N) const {
    const auto D = static_cast<std::int64_t>(x.size()) / std::max<std::int64_t>(N, 1);
    Tensor squares = Tensor::empty({N, N}, DType::f64);
    if (N > 0) pair_squares_forward(squares, Tensor::from(x, {N, D}));
    return squares.to(device());
  }
  Tensor random_squares(std::int64_t N, std::uint64_t seed) const {
    return squares_of(random_values(N * 3, 1, seed), N);
  }
};
INSTANTIATE_TEST_SUITE_P(Devices, RelationalLossTest, ::testing::ValuesIn(full_precision_devices()),
                         [](const auto& test) { return test.param.name(); });

// On a line: receiver 0, 1, 2 has distances 1, 2, 1, over their mean 3/4, 3/2, 3/4; source 0, 1, 4
// has 1, 4, 3: 3/8, 3/2, 9/8. Errors 3/8, 0, -3/8: loss 2 (9/64)/2 / 3 = 3/64. Slopes by the ratios
// are 1/8, 0, -1/8 and leave the mean as it is; by the distances 3/4 of that, by squares half
// again.
TEST_P(RelationalLossTest, DistancesByHand) {
  const Outcome r = run(triangle(1, 4, 1), triangle(1, 16, 9), kDistance);
  expect_close(r.loss, {3.0 / 64}, tolerance());
  expect_close(r.dsquares, {0, 3.0 / 64, 0, 3.0 / 64, 0, -3.0 / 64, 0, -3.0 / 64, 0}, 1e-14);
}

// A right angle at 0, 45 degrees at the others: cosines 0, 1/sqrt 2 twice. On a line with 0 in the
// middle they are -1, 1 and 1. Errors 1 and twice -e, e = 1 - 1/sqrt 2: loss (1/2 + e^2) / 3.
// By a01: c_0 1/2, c_1 0, c_2 -1/(2 sqrt 2); by a12: -1/2, 1/(4 sqrt 2) twice.
TEST_P(RelationalLossTest, AnglesByHand) {
  const Outcome r = run(triangle(1, 1, 2), triangle(1, 1, 4), kAngle);
  const double e = 1 - std::sqrt(0.5), g = (0.5 + e / (2 * std::sqrt(2.0))) / 3;
  expect_close(r.loss, {(0.5 + e * e) / 3}, tolerance());
  expect_close(r.dsquares, {0, g, g, g, 0, -g, g, -g, 0}, 1e-14);
}

TEST_P(RelationalLossTest, MatchesTheDefinitionByDirections) {
  for (const std::int64_t N : {1, 2, 3, 4, 7, 35}) {
    Values x = random_values(N * 3, 1, 1), y = random_values(N * 4, 2, 2);
    if (N == 7) std::copy_n(x.begin(), 3, x.begin() + 9);  // points that are one
    if (N == 7) std::copy_n(y.begin() + 4, 4, y.begin() + 16);
    for (const RelationalOptions& options : {kDistance, kAngle, RelationalOptions{3, 0.5}}) {
      const RelationalDefinition expected(x, y, N, options);
      const Outcome r = run(squares_of(x, N), squares_of(y, N), options);
      const std::string what = detail::concat("N ", N, " angles ", options.angle_weight);
      expect_close(r.loss, {expected.loss}, tolerance(), what);
      Tensor points = Tensor::from(x, {N, 3}), dx = Tensor::empty_like(points);
      pair_squares_backward(dx, points, r.dsquares.to(Device::cpu()),
                            Tensor::full({1}, 1, DType::f64));
      // Two points on a line have nothing but rounding.
      expect_close(to_doubles(dx), expected.gradient, 1e-12, what, N < 3 ? 1e-15 : 0);
      EXPECT_TRUE(same_bytes(run(squares_of(x, N), squares_of(y, N), options, false).loss, r.loss))
          << what;
    }
  }
}

TEST_P(RelationalLossTest, SymmetricAndIndependentOfScale) {
  const std::int64_t N = 9;
  const Tensor s = random_squares(N, 1), t = random_squares(N, 2);
  const Outcome r = run(s, t, {});
  const Values squares = to_doubles(s), g = to_doubles(r.dsquares);
  Values larger = squares;
  for (std::int64_t i = 0; i < N; ++i) EXPECT_EQ(g[i * N + i], 0);
  double along = 0, size = 0;  // how the loss changes with all squares in proportion
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j < N; ++j) {
      EXPECT_EQ(g[i * N + j], g[j * N + i]);
      along += g[i * N + j] * squares[i * N + j];
      size += std::abs(g[i * N + j] * squares[i * N + j]);
      larger[i * N + j] *= 16;
    }
  EXPECT_NEAR(along, 0, 1e-14 * size);
  const Outcome scaled = run(Tensor::from(larger, {N, N}).to(device()), t, {});
  EXPECT_TRUE(same_bytes(scaled.loss, r.loss));
  for (std::size_t i = 0; i < g.size(); ++i) EXPECT_EQ(to_doubles(scaled.dsquares)[i], g[i] / 16);
}

TEST_P(RelationalLossTest, EqualRelationsHaveNoLossAndNoGradient) {
  const Tensor s = random_squares(11, 1);
  const Outcome r = run(s, s.clone(), {});
  expect_close(r.loss, {0}, 0);
  expect_close(r.dsquares, Values(121, 0), 0);
}

TEST_P(RelationalLossTest, FewPointsHaveNoRelations) {
  for (const std::int64_t N : {0, 1, 2}) {
    const Outcome r = run(random_squares(N, 1), random_squares(N, 2), kAngle);
    expect_close(r.loss, {0}, 0);
    expect_close(r.dsquares, Values(static_cast<std::size_t>(N * N), 0), 0);
  }
  expect_close(run(random_squares(1, 1), random_squares(1, 2), {}).loss, {0}, 0);
  // One distance is its own mean.
  expect_close(run(random_squares(2, 1), random_squares(2, 2), {}).loss, {0}, 1e-15);
}

TEST(RelationalLoss, GradientInDoubleIsTheSlope) {
  const std::int64_t N = 5;
  Tensor s = Tensor::empty({N, N}, DType::f64), t = s.clone(), g = s.clone(), none;
  pair_squares_forward(s, Tensor::from(random_values(N * 3, 1, 1), {N, 3}));
  pair_squares_forward(t, Tensor::from(random_values(N * 3, 1, 2), {N, 3}));
  Tensor loss = Tensor::empty({1}, DType::f64);
  relational_loss_forward_with_grad(loss, g, s, t, {});
  for (std::int64_t i = 0; i < N; ++i)
    for (std::int64_t j = 0; j < i; ++j) {
      const double kept = s.data<double>()[i * N + j], h = 1e-5;
      const auto at = [&](double value) {
        s.data<double>()[i * N + j] = s.data<double>()[j * N + i] = value;
        relational_loss_forward_with_grad(loss, none, s, t, {});
        return loss.item();
      };
      EXPECT_NEAR((at(kept + h) - at(kept - h)) / (2 * h), to_doubles(g)[i * N + j], 1e-8);
      at(kept);
    }
}

TEST(RelationalLoss, SameBitsForThreadsAndInstructionSets) {
  const std::int64_t N = 37;
  Tensor s = Tensor::empty({N, N}, DType::f64), t = s.clone();
  pair_squares_forward(s, Tensor::from(random_values(N * 3, 1, 1), {N, 3}));
  pair_squares_forward(t, Tensor::from(random_values(N * 3, 1, 2), {N, 3}));
  expect_same_bits([&] {
    Tensor loss = Tensor::empty({1}, DType::f64), g = Tensor::empty_like(s);
    relational_loss_forward_with_grad(loss, g, s, t, {});
    return std::vector{loss, g};
  });
}

TEST(RelationalLoss, Rejections) {
  const Tensor s = Tensor::zeros({3, 3}, DType::f64), wrong = Tensor::zeros({3, 3}), undefined;
  Tensor loss = Tensor::zeros({1}), none, two = Tensor::zeros({2, 2}, DType::f64);
  const auto rejects = [&](const Tensor& a, const Tensor& b, const std::string& message) {
    expect_error([&] { relational_loss_forward_with_grad(loss, none, a, b, {}); },
                 "relational_loss: " + message);
  };
  rejects(undefined, s, "receiver is undefined; expected f64(N,N)");
  rejects(Tensor::zeros({3}), s, "receiver is f32(3); expected f64(N,N)");
  rejects(wrong, s, "receiver is f32(3,3) on cpu; expected f64(3,3) on cpu");
  rejects(s, two, "source is f64(2,2) on cpu; expected f64(3,3) on cpu");
  expect_error([&] { relational_loss_forward_with_grad(loss, two, s, s, {}); },
               "relational_loss: dsquares is f64(2,2) on cpu; expected f64(3,3) on cpu");
  expect_error([&] { relational_loss_forward_with_grad(two, none, s, s, {}); },
               "relational_loss: loss is f64(2,2) on cpu; expected f32 or f64(1) on cpu");
  expect_error([&] { relational_loss_forward_with_grad(none, none, s, s, {}); },
               "relational_loss: loss is undefined; expected f32 or f64(1) on cpu");
  for (const RelationalOptions& options : {RelationalOptions{0, 0}, RelationalOptions{1, -1}})
    expect_error([&] { relational_loss_forward_with_grad(loss, none, s, s, options); },
                 "relational_loss: weights are ");
}

}  // namespace
}  // namespace limbeck::testing

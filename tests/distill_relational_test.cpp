// SPDX-License-Identifier: Apache-2.0
// Relational distillation: distances and angles by hand, by PyTorch, and where samples are equal.
#include <limbeck/distill/relational.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/fixture.h>
#include <limbeck/tests/relational_definition.h>

namespace limbeck::testing {
namespace {

class RelationalTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(RelationalTest);

constexpr RelationalOptions kDistance{.distance_weight = 1, .angle_weight = 0};
constexpr RelationalOptions kAngle{.distance_weight = 0, .angle_weight = 1};

struct Outcome {
  double loss;
  Tensor gradient;
};

Outcome compare(const Tensor& receiver, const Tensor& source, const RelationalOptions& options) {
  const auto width = [](const Tensor& t) { return Shape{t.dim(1)}; };
  Relational technique(width(receiver), width(source), options);
  const Variable tap(receiver, true);
  const Variable loss =
      technique.loss(tap, technique.encode(source), static_cast<double>(receiver.dim(0)));
  loss.backward();
  return {loss.value().item(), tap.grad()};
}

// On a line: receiver 0, 1, 2 has distances 1, 2, 1, over their mean 3/4, 3/2, 3/4; source 0, 1, 4
// has 1, 4, 3: 3/8, 3/2, 9/8. Errors 3/8, 0, -3/8: loss 2 (9/64)/2 / 3 = 3/64.
TEST_P(RelationalTest, DistancesByHand) {
  const Outcome r = compare(make({0, 1, 2}, {3, 1}), make({0, 1, 4}, {3, 1}), kDistance);
  EXPECT_NEAR(r.loss, 3.0 / 64, 2 * tolerance());
  // dloss/dpsi = (1/8, 0, -1/8) for pairs 10, 20, 21; less sum dpsi psi / 3 = 0, over 4/3: 3/32 and
  // -3/32: sample 1 gets both, 0 and 2 the opposite of one.
  expect_close(r.gradient, {-3.0 / 32, 6.0 / 32, -3.0 / 32}, 4 * tolerance());
}

// A right angle at the origin, 45 degrees at the others: cosines 0, 1/sqrt 2 twice. On a line the
// one in the middle has -1, the others 1. Every angle counts twice: errors 1, then (1/sqrt 2 - 1).
TEST_P(RelationalTest, AnglesByHand) {
  const Tensor s = make({0, 0, 1, 0, 0, 1}, {3, 2}), t = make({0, -1, 1}, {3, 1});
  const double small = 1 - std::sqrt(0.5);
  EXPECT_NEAR(compare(s, t, kAngle).loss, (0.5 + 2 * small * small / 2) / 3, 2 * tolerance());
}

TEST_P(RelationalTest, AgreesWithThePapersInPyTorch) {
  for (const auto& [name, options] : {std::pair{"distances", kDistance}, {"angles", kAngle}}) {
    const Fixture fixture("relations", name);
    const auto enter = [&](const char* key) { return fixture[key].to(dtype()).to(device()); };
    const Outcome r = compare(enter("x0"), enter("t"), options);
    expect_close({r.loss}, to_doubles(fixture["y"]), 1e-5, name);
    expect_close(r.gradient, to_doubles(fixture["dx0"]), 1e-4, name);
  }
}

TEST_P(RelationalTest, PartsAreWeightedAndAddUp) {
  const Tensor s = random({5, 3}, 1), t = random({5, 4}, 2);
  const Outcome distance = compare(s, t, kDistance), angle = compare(s, t, kAngle);
  const Outcome both = compare(s, t, {.distance_weight = 3, .angle_weight = 0.5});
  EXPECT_NEAR(both.loss, 3 * distance.loss + 0.5 * angle.loss, 4 * tolerance());
  std::vector<double> gradient;
  for (std::size_t i = 0; i < 15; ++i)
    gradient.push_back(3 * to_doubles(distance.gradient)[i] + 0.5 * to_doubles(angle.gradient)[i]);
  expect_close(both.gradient, gradient, 4 * tolerance());
}

TEST_P(RelationalTest, MovingTurningAndScalingChangeNothing) {
  const Tensor t = random({4, 3}, 2);
  const Tensor s = make({1, 2, -1, 3, 0.5, 1, 2, -2}, {4, 2});
  std::vector<double> moved;  // turned by 90 degrees, twice as large, and elsewhere
  const auto in = to_doubles(s);
  for (std::size_t i = 0; i < in.size(); i += 2) {
    moved.push_back(3 - 2 * in[i + 1]);
    moved.push_back(2 * in[i] - 5);
  }
  EXPECT_NEAR(compare(make(moved, {4, 2}), t, {}).loss, compare(s, t, {}).loss, 8 * tolerance());
  // So it costs nothing to be the source moved.
  const Outcome same = compare(make(moved, {4, 2}), s, {});
  EXPECT_NEAR(same.loss, 0, 8 * tolerance());
}

// Samples that are equal or all but equal: no root of a clamped 0, so gradients stay of order 1.
TEST_P(RelationalTest, CloseSamplesHaveBoundedGradients) {
  const Tensor t = random({4, 3}, 2);
  for (const double gap : {0.0, 1e-6, 1e-3}) {
    const Outcome r = compare(make({1, 2, 1 + gap, 2, -1, 0.5, 0, 1}, {4, 2}), t, kDistance);
    for (const double g : to_doubles(r.gradient)) EXPECT_LT(std::abs(g), 2) << gap;
    EXPECT_TRUE(std::isfinite(r.loss));
  }
  const Outcome equal = compare(make({1, 2, 1, 2, -1, 0.5, 0, 1}, {4, 2}), t, {});
  for (const double g : to_doubles(equal.gradient)) EXPECT_TRUE(std::isfinite(g));
  // A batch that has collapsed to a point: nothing to divide by, nothing to gain.
  const Outcome point = compare(make({1, 2, 1, 2, 1, 2, 1, 2}, {4, 2}), t, {});
  EXPECT_TRUE(std::isfinite(point.loss));
  expect_close(point.gradient, std::vector<double>(8, 0), 0);
}

// Samples far from the origin and near each other, where |x|^2 + |y|^2 - 2 x.y has no digit left.
TEST_P(RelationalTest, FarFromTheOriginNothingCancels) {
  const Tensor t = random({4, 3}, 2);
  // Multiples of 2^-10 beside 1024: exact in f32.
  const std::vector<double> near = {0, 3, 1, 0, 2, 2, 5, 1};
  std::vector<double> small, far;
  for (const double v : near) small.push_back(v * 0x1p-10), far.push_back(1024 + v * 0x1p-10);
  EXPECT_NEAR(compare(make(far, {4, 2}), t, {}).loss, compare(make(small, {4, 2}), t, {}).loss,
              tolerance());
}

// From directions and lengths, as the papers' own code does it: nothing by the law of cosines.
TEST_P(RelationalTest, AgreesWithDirectionsAndLengths) {
  for (const std::int64_t N : {2, 3, 9}) {
    const Tensor s = random({N, 20}, 1), t = random({N, 5}, 2);
    for (const RelationalOptions& options : {kDistance, kAngle, RelationalOptions{}}) {
      const RelationalDefinition expected(to_doubles(s), to_doubles(t), N, options);
      const Outcome r = compare(s, t, options);
      // Of two samples, the distance is the mean; squares of sines and cosines leave rounding.
      EXPECT_NEAR(r.loss, expected.loss, tolerance() * expected.loss + 1e-30) << N;
      expect_close(to_doubles(r.gradient), expected.gradient, tolerance(), "", N < 3 ? 1e-15 : 0);
    }
  }
}

// Two samples nearer to each other than to the rest by 2^13: of the thin triangles' angles no digit
// is lost, nor of the gradients of the samples that are far, to which that pair gives slopes 2^13
// times as large, which cancel.
TEST_P(RelationalTest, NearlyEqualSamplesKeepTheirAngles) {
  const std::int64_t N = 5, D = 3;
  std::vector<double> x = random_values(N * D, 1, 1);
  for (double& v : x) v = std::round(v * 64) / 64;
  const double gap[3] = {0x1p-13, -0x1p-14, 0x1p-15};
  for (std::size_t d = 0; d < 3; ++d) x[d + 3] = x[d] + gap[d];  // exact in f32
  const Tensor s = make(x, {N, D}), t = random({N, 4}, 2);
  const RelationalDefinition expected(x, to_doubles(t), N, {});
  const Outcome r = compare(s, t, {});
  const double digits = dtype() == DType::f64 ? 1e-12 : 0x1p-23;
  EXPECT_NEAR(r.loss, expected.loss, digits * expected.loss);
  const auto rest = [](const std::vector<double>& g) {
    return std::vector<double>(g.begin() + 6, g.end());
  };
  expect_close(to_doubles(r.gradient), expected.gradient, digits);
  expect_close(rest(to_doubles(r.gradient)), rest(expected.gradient), digits);
}

TEST_P(RelationalTest, FewSamplesHaveNoRelationsAndTheSourceNoGradient) {
  const Outcome one = compare(random({1, 3}, 1), random({1, 2}, 2), {});
  EXPECT_EQ(one.loss, 0);
  expect_close(one.gradient, {0, 0, 0}, 0);
  EXPECT_EQ(compare(random({2, 3}, 1), random({2, 2}, 2), kAngle).loss, 0);
  Relational technique({3}, {2});
  const Variable source(random({4, 2}, 2), true), receiver(random({4, 3}, 1), true);
  technique.loss(receiver, technique.encode(source.value()), 4).backward();
  EXPECT_FALSE(source.grad().defined());
  EXPECT_TRUE(receiver.grad().defined());
  EXPECT_FALSE(technique.per_sample());
  EXPECT_EQ(technique.describe(), "relational(1 distance, 2 angle)");
}

TEST(Relational, Gradient) {  // 1e-6: h^2 f'''/6
  const Tensor s = Tensor::from(random_values(5 * 6, 1, 1), {5, 2, 3});
  const Tensor t = Tensor::from(random_values(5 * 4, 1, 2), {5, 4});
  for (const RelationalOptions& options : {kDistance, kAngle, RelationalOptions{}}) {
    Relational technique({2, 3}, {4}, options);
    const auto result =
        grad_check([&](auto v) { return technique.loss(v[0], technique.encode(t), 5); }, {s});
    EXPECT_LT(result.error, 1e-6) << technique.describe() << ": " << result.where;
  }
}

TEST(Relational, Rejections) {
  expect_error([] { Relational({2}, {3}, {.distance_weight = 0, .angle_weight = 0}); },
               "relational: weights are 0 of distances and 0 of angles; expected >= 0");
  expect_error([] { Relational({2}, {3}, {.distance_weight = -1}); }, "relational: weights are -1");
  Relational technique({2}, {3});
  const Variable tap(Tensor::zeros({4, 2}));
  expect_error(
      [&] {
        technique.encode(Tensor::zeros({4, 2}));
      },
      "relational: source's tap has shape (4,2)");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({4, 2}), 4);
      },
      "relational: code has shape (4,2)");
  expect_error(
      [&] {
        technique.loss(tap, Tensor::zeros({4, 3}), 8);
      },
      "relational: mean over 8 samples of a batch of 4; expected all of them");
}

}  // namespace
}  // namespace limbeck::testing

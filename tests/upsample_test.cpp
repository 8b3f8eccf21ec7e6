// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/upsample.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

constexpr UpsampleMode kModes[] = {UpsampleMode::nearest, UpsampleMode::bilinear};

struct Case {
  Shape x;
  ScaleRatio height, width;
};

// Whole numbers, fractions above and below 1, the size kept; one pixel; channels around the chunk
// of 64; an empty batch; enough rows for several tasks.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 3, 4, 3}, {2, 1}, {2, 1}},  {{1, 1, 1, 1}, {3, 1}, {2, 1}},
      {{1, 5, 4, 65}, {3, 2}, {7, 5}}, {{2, 6, 7, 2}, {1, 2}, {3, 4}},
      {{1, 2, 3, 31}, {1, 1}, {4, 1}}, {{0, 2, 2, 3}, {2, 1}, {2, 1}},
      {{8, 14, 14, 8}, {2, 1}, {5, 3}}};
  return all;
}

// How output o weighs input i, from the definition in real numbers.
double weight(UpsampleMode mode, std::int64_t o, std::int64_t i, std::int64_t inputs,
              const ScaleRatio& r) {
  const double scale = static_cast<double>(r.numerator) / static_cast<double>(r.denominator);
  if (mode == UpsampleMode::nearest) return o * r.denominator / r.numerator == i ? 1 : 0;
  const double place = std::max(0.0, (static_cast<double>(o) + 0.5) / scale - 0.5);
  const double last = static_cast<double>(inputs - 1);
  return std::max(0.0, 1 - std::abs(std::min(place, last) - static_cast<double>(i)));
}

// visit(y position, x position, weight), in order of y.
template <class Visit>
void for_each_weight(UpsampleMode mode, const Case& c, const Shape& y, Visit&& visit) {
  for (std::int64_t at = 0; at < y.numel(); ++at) {
    const std::int64_t k = at % y[3], j = at / y[3] % y[2], i = at / y[3] / y[2] % y[1];
    const std::int64_t n = at / y[3] / y[2] / y[1];
    for (std::int64_t h = 0; h < c.x[1]; ++h) {
      const double v = weight(mode, i, h, c.x[1], c.height);
      for (std::int64_t w = 0; v > 0 && w < c.x[2]; ++w)
        if (const double u = weight(mode, j, w, c.x[2], c.width); u > 0)
          visit(static_cast<std::size_t>(at),
                static_cast<std::size_t>(((n * c.x[1] + h) * c.x[2] + w) * c.x[3] + k), u * v);
    }
  }
}

class UpsampleTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(UpsampleTest);

TEST_P(UpsampleTest, HandNumbers) {
  // Doubled, outputs lie at 0, 1/4, 3/4, 1 of (4,8) (cut off at the ends); by 3/2, three outputs
  // of (4,8) read pixels 0, 0, 1 when nearest.
  const Tensor x = make({4, 8}, {1, 1, 2, 1});
  const UpsampleOptions doubled = {UpsampleMode::bilinear, {1, 1}, {2, 1}};
  const UpsampleOptions half_more = {UpsampleMode::nearest, {1, 1}, {3, 2}};
  Tensor y = make_like({1, 1, 4, 1}), three = make_like({1, 1, 3, 1}), dx = make_like(x.shape());
  upsample_forward(y, x, doubled);
  expect_close(y, {4, 5, 7, 8}, tolerance());
  upsample_backward(dx, make({4, 8, 16, 32}, {1, 1, 4, 1}), doubled);
  expect_close(dx, {4 + 6 + 4, 2 + 12 + 32}, tolerance());
  upsample_forward(three, x, half_more);
  expect_close(three, {4, 4, 8}, 0);
  upsample_backward(dx, make({1, 2, 4}, {1, 1, 3, 1}), half_more);
  expect_close(dx, {3, 4}, tolerance());
}

TEST_P(UpsampleTest, AgreesWithTheDefinition) {
  for (const UpsampleMode mode : kModes)
    for (const Case& c : cases()) {
      const UpsampleOptions options = {mode, c.height, c.width};
      const Shape out = upsample_output_shape(c.x, options);
      const Tensor x = random(c.x, 1), dy = random(out, 2);
      const std::vector<double> xs = to_doubles(x), g = to_doubles(dy);
      std::vector<double> expected(g.size(), 0), expected_dx(xs.size(), 0);
      for_each_weight(mode, c, out, [&](std::size_t to, std::size_t from, double share) {
        expected[to] += share * xs[from];
        expected_dx[from] += share * g[to];
      });
      Tensor y = make_like(out), dx = make_like(c.x);
      upsample_forward(y, x, options);
      expect_close(y, expected, tolerance(), "y of " + c.x.str());
      upsample_backward(dx, dy, options);
      expect_close(dx, expected_dx, tolerance(), "dx of " + c.x.str());
    }
}

// A constant image stays one, however it is scaled.
TEST_P(UpsampleTest, WeightsSumToOne) {
  for (const UpsampleMode mode : kModes)
    for (const ScaleRatio& ratio : {ScaleRatio{7, 3}, ScaleRatio{3, 7}}) {
      const UpsampleOptions options = {mode, ratio, ratio};
      Tensor x = make(std::vector<double>(9 * 8 * 2, 1.5), {1, 9, 8, 2});
      Tensor y = make_like(upsample_output_shape(x.shape(), options));
      upsample_forward(y, x, options);
      expect_close(y, std::vector<double>(static_cast<std::size_t>(y.numel()), 1.5), tolerance());
    }
}

TEST(Upsample, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Shape shape = {4, 9, 14, 70};
    const Tensor x = Tensor::from(random_values(shape.numel()), shape).to(DType::f32);
    std::vector<Tensor> results;
    for (const UpsampleMode mode : kModes) {
      const UpsampleOptions options = {mode, {2, 1}, {3, 2}};
      Tensor y = Tensor::empty(upsample_output_shape(shape, options)), dx = Tensor::empty(shape);
      upsample_forward(y, x, options);
      upsample_backward(dx, y, options);
      results.insert(results.end(), {y, dx});
    }
    return results;
  });
}

TEST(Upsample, Rejections) {
  Tensor x = Tensor::zeros({1, 2, 2, 1}), y = Tensor::zeros({1, 4, 4, 1}), undefined;
  Tensor wide = y.to(DType::f64);
  expect_error([&] { upsample_forward(undefined, x, {}); },
               "upsample_forward: a tensor is undefined");
  expect_error([&] { upsample_forward(x, x, {}); },
               "upsample_forward: y has shape (1,2,2,1), x (1,2,2,1); expected y (1,4,4,1)");
  expect_error([&] { upsample_backward(x, wide, {}); },
               "upsample_backward: x is f32, y f64; expected one floating dtype");
  expect_error(
      [&] {
        upsample_forward(y, x, {.height = {0, 1}});
      },
      "upsample_forward: scale is 0/1; expected both >= 1");
  expect_error(
      [] {
        upsample_output_shape({2, 2, 1}, {});
      },
      "upsample_output_shape: x has shape (2,2,1); expected (N,H,W,C)");
  expect_error(
      [] {
        upsample_output_shape({1, 2, 2, 1}, {.width = {1, 3}});
      },
      "upsample_output_shape: x has shape (1,2,2,1), which becomes 4x0; expected");
}

}  // namespace
}  // namespace limbeck::testing

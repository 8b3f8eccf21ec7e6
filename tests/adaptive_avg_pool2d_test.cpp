// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adaptive_avg_pool2d.h>

#include <limbeck/kernels/pool2d.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Case {
  Shape x;
  std::int64_t height, width;
};

Shape pooled(const Case& c) { return {c.x[0], c.height, c.width, c.x[3]}; }

// Global, even, overlapping and repeated bins; channels around the chunk of 64; an empty batch;
// enough rows for several tasks.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {{{2, 4, 6, 3}, 1, 1},  {{1, 1, 1, 1}, 1, 1},
                                        {{1, 6, 4, 31}, 3, 2}, {{2, 7, 5, 64}, 3, 4},
                                        {{1, 3, 2, 65}, 5, 2}, {{1, 8, 8, 130}, 1, 1},
                                        {{0, 4, 4, 3}, 2, 2},  {{16, 14, 14, 16}, 6, 7}};
  return all;
}

// The definition, written with fractions: cell h belongs to bin i when the intervals
// [h, h + 1) / H and [i, i + 1) / OH overlap.
bool overlap(std::int64_t h, std::int64_t H, std::int64_t i, std::int64_t OH) {
  return h * OH < (i + 1) * H && i * H < (h + 1) * OH;
}

class AdaptiveAvgPool2dTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(AdaptiveAvgPool2dTest);

TEST_P(AdaptiveAvgPool2dTest, HandNumbers) {
  // Three columns in two bins: the middle one is in both. Means (1+2)/2, (2+6)/2.
  const Tensor x = make({1, 2, 6}, {1, 1, 3, 1});
  Tensor y = make_like({1, 1, 2, 1}), dx = make_like(x.shape());
  adaptive_avg_pool2d_forward(y, x);
  expect_close(y, {1.5, 4}, tolerance());
  adaptive_avg_pool2d_backward(dx, make({2, 8}, {1, 1, 2, 1}));
  expect_close(dx, {1, 5, 4}, tolerance());
}

TEST_P(AdaptiveAvgPool2dTest, AgreesWithTheDefinition) {
  for (const Case& c : cases()) {
    const Shape out = pooled(c);
    const Tensor x = random(c.x, 1), dy = random(out, 2);
    const std::vector<double> xs = to_doubles(x), g = to_doubles(dy);
    std::vector<double> expected(g.size()), expected_dx(xs.size(), 0);
    for (std::size_t at = 0; at < g.size(); ++at) {
      const auto pixel = static_cast<std::int64_t>(at) / out[3];
      const std::int64_t k = static_cast<std::int64_t>(at) % out[3], n = pixel / c.height / c.width;
      std::vector<std::size_t> cells;
      for (std::int64_t h = 0; h < c.x[1]; ++h)
        for (std::int64_t w = 0; w < c.x[2]; ++w)
          if (overlap(h, c.x[1], pixel / c.width % c.height, c.height) &&
              overlap(w, c.x[2], pixel % c.width, c.width))
            cells.push_back(static_cast<std::size_t>(((n * c.x[1] + h) * c.x[2] + w) * c.x[3] + k));
      const double count = static_cast<double>(cells.size());
      for (const std::size_t cell : cells) expected[at] += xs[cell] / count;
      for (const std::size_t cell : cells) expected_dx[cell] += g[at] / count;
    }
    Tensor y = make_like(out), dx = make_like(c.x);
    adaptive_avg_pool2d_forward(y, x);
    expect_close(y, expected, tolerance(), "y of " + c.x.str());
    adaptive_avg_pool2d_backward(dx, dy);
    expect_close(dx, expected_dx, tolerance(), "dx of " + c.x.str());
  }
}

// Bins that divide the image are windows, and as many bins as cells change nothing.
TEST_P(AdaptiveAvgPool2dTest, EvenBinsAreWindows) {
  const Tensor x = random({2, 6, 9, 5}, 3);
  Tensor bins = make_like({2, 2, 3, 5}), windows = make_like({2, 2, 3, 5});
  adaptive_avg_pool2d_forward(bins, x);
  avg_pool2d_forward(windows, x, {.kernel = 3, .stride = 3});
  EXPECT_TRUE(same_bytes(bins, windows));
  Tensor same = make_like(x.shape());
  adaptive_avg_pool2d_forward(same, x);
  EXPECT_TRUE(same_bytes(same, x));
}

TEST(AdaptiveAvgPool2d, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Shape shape = {8, 15, 14, 70};
    const Tensor x = Tensor::from(random_values(shape.numel()), shape).to(DType::f32);
    Tensor y = Tensor::empty({8, 4, 5, 70}), dx = Tensor::empty(shape);
    Tensor mean = Tensor::empty({8, 1, 1, 70});
    adaptive_avg_pool2d_forward(y, x);
    adaptive_avg_pool2d_forward(mean, x);
    adaptive_avg_pool2d_backward(dx, y);
    return std::vector{y, mean, dx};
  });
}

TEST(AdaptiveAvgPool2d, Rejections) {
  Tensor x = Tensor::zeros({1, 4, 4, 2}), y = Tensor::zeros({1, 2, 2, 2}), undefined;
  Tensor channels = Tensor::zeros({1, 2, 2, 3}), none = Tensor::zeros({1, 0, 2, 2});
  Tensor wide = y.to(DType::f64);
  expect_error([&] { adaptive_avg_pool2d_forward(undefined, x); },
               "adaptive_avg_pool2d_forward: a tensor is undefined");
  expect_error([&] { adaptive_avg_pool2d_forward(channels, x); },
               "adaptive_avg_pool2d_forward: input has shape (1,4,4,2), output (1,2,2,3); "
               "expected (N,H,W,C) and (N,OH,OW,C) of one N and C");
  expect_error([&] { adaptive_avg_pool2d_backward(x, none); },
               "adaptive_avg_pool2d_backward: input has shape (1,4,4,2), output (1,0,2,2); "
               "expected images of at least 1x1");
  expect_error([&] { adaptive_avg_pool2d_forward(wide, x); },
               "adaptive_avg_pool2d_forward: input is f32, output f64; expected one floating "
               "dtype");
}

}  // namespace
}  // namespace limbeck::testing

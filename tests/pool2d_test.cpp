// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/pool2d.h>

#include <limits>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Case {
  Shape x;
  Pool2dOptions options;
};

// Kernels that divide the image, leave a rest, overlap, skip cells and reach into the padding;
// channels around the chunk of 64; an empty batch; enough rows for several tasks.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 4, 6, 3}, {}},
      {{1, 1, 1, 1}, {.kernel = 1, .stride = 1}},
      {{2, 5, 7, 1}, {}},
      {{3, 7, 7, 31}, {.kernel = 3, .stride = 2, .padding = 1}},
      {{1, 6, 5, 64}, {.kernel = 3, .stride = 1, .padding = 1}},
      {{1, 8, 9, 65}, {.kernel = 2, .stride = 3}},
      {{1, 9, 8, 130}, {.kernel = 5, .stride = 2, .padding = 2}},
      {{0, 4, 4, 3}, {}},
      {{1, 1, 5, 2}, {.kernel = 3, .stride = 2, .padding = 1}},
      {{16, 28, 28, 16}, {}},
  };
  return all;
}

// Cells of the window (i,j) inside the image, in order, as positions h * W + w.
std::vector<std::int64_t> cells_of(std::int64_t i, std::int64_t j, const Case& c) {
  std::vector<std::int64_t> cells;
  for (std::int64_t a = 0; a < c.options.kernel; ++a)
    for (std::int64_t b = 0; b < c.options.kernel; ++b) {
      const std::int64_t h = i * c.options.stride - c.options.padding + a;
      const std::int64_t w = j * c.options.stride - c.options.padding + b;
      if (0 <= h && h < c.x[1] && 0 <= w && w < c.x[2]) cells.push_back(h * c.x[2] + w);
    }
  return cells;
}

// visit(y position, cells, x position of the image's cell 0 in this channel)
template <class Visit>
void for_each_output(const Case& c, Visit&& visit) {
  const Shape y = pool2d_output_shape(c.x, c.options);
  std::size_t at = 0;
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t i = 0; i < y[1]; ++i)
      for (std::int64_t j = 0; j < y[2]; ++j)
        for (std::int64_t k = 0; k < y[3]; ++k, ++at)
          visit(at, cells_of(i, j, c), [&, n, k](std::int64_t cell) {
            return static_cast<std::size_t>((n * c.x[1] * c.x[2] + cell) * c.x[3] + k);
          });
}

class Pool2dTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
  Tensor index_like(const Tensor& y) const {
    return Tensor::full(y.shape(), -7, DType::i32, device());
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(Pool2dTest);

TEST_P(Pool2dTest, HandNumbers) {
  // 4x4 in windows of 2x2: maxima 6 8 / 9 7 at 5 7 / 8 15; means (1+2+5+6)/4 = 3.5 and so on.
  const Tensor x = make({1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 7}, {1, 4, 4, 1});
  Tensor y = make_like({1, 2, 2, 1}), index = index_like(y), dx = make_like(x.shape());
  max_pool2d_forward(y, index, x, {});
  expect_close(y, {6, 8, 9, 7}, 0);
  EXPECT_EQ(index.to_vector<std::int32_t>(), (std::vector<std::int32_t>{5, 7, 8, 10}));
  max_pool2d_backward(dx, make({1, 2, 3, 4}, {1, 2, 2, 1}), index, {});
  expect_close(dx, {0, 0, 0, 0, 0, 1, 0, 2, 3, 0, 4, 0, 0, 0, 0, 0}, 0);
  avg_pool2d_forward(y, x, {});
  expect_close(y, {3.5, 5.5, 6.5, 5.75}, tolerance());
  avg_pool2d_backward(dx, make({4, 8, 12, 16}, {1, 2, 2, 1}), {});
  expect_close(dx, {1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4}, tolerance());
}

TEST_P(Pool2dTest, PaddingNeverWinsAndNeverCounts) {
  const Pool2dOptions o = {.kernel = 3, .stride = 2, .padding = 1};
  const Tensor x = make({-1, -2, -3, -4, -5, -6, -7, -8, -9}, {1, 3, 3, 1});
  Tensor y = make_like({1, 2, 2, 1}), index = index_like(y);
  max_pool2d_forward(y, index, x, o);
  expect_close(y, {-1, -2, -4, -5}, 0);
  // Corner windows see 2x2 cells: (-1-2-4-5)/4 = -3, then -4, -6, -7.
  avg_pool2d_forward(y, x, o);
  expect_close(y, {-3, -4, -6, -7}, tolerance());
}

TEST_P(Pool2dTest, FirstOfEqualsInfinitiesAndNan) {
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Tensor x = make({5, 5, -inf, -inf, 1, nan, 3, 5, -inf, -inf, nan, 9}, {1, 2, 6, 1});
  Tensor y = make_like({1, 1, 3, 1}), index = index_like(y);
  max_pool2d_forward(y, index, x, {});
  const std::vector<double> values = to_doubles(y);
  EXPECT_EQ(values[0], 5);
  EXPECT_EQ(values[1], -inf);
  EXPECT_TRUE(std::isnan(values[2]));
  EXPECT_EQ(index.to_vector<std::int32_t>(), (std::vector<std::int32_t>{0, 2, 5}));
}

TEST_P(Pool2dTest, MaxAgainstTheDefinition) {
  for (const Case& c : cases()) {
    const Tensor x = random(c.x, 1);
    const Shape out = pool2d_output_shape(c.x, c.options);
    const Tensor dy = random(out, 2);
    const std::vector<double> xs = to_doubles(x), g = to_doubles(dy);
    std::vector<double> expected(g.size()), expected_dx(xs.size(), 0);
    std::vector<std::int32_t> expected_index(g.size());
    for_each_output(c, [&](std::size_t at, const std::vector<std::int64_t>& cells, auto&& offset) {
      std::int64_t winner = cells[0];
      for (std::int64_t cell : cells)
        if (xs[offset(cell)] > xs[offset(winner)]) winner = cell;
      expected[at] = xs[offset(winner)];
      expected_index[at] = static_cast<std::int32_t>(winner);
      expected_dx[offset(winner)] += g[at];
    });
    Tensor y = make_like(out), index = index_like(y), dx = make_like(c.x);
    Tensor nowhere, alone = make_like(out);
    max_pool2d_forward(alone, nowhere, x, c.options);
    max_pool2d_forward(y, index, x, c.options);
    EXPECT_TRUE(same_bytes(alone, y)) << c.x;
    expect_close(y, expected, 0, "y of " + c.x.str());
    EXPECT_EQ(index.to_vector<std::int32_t>(), expected_index) << c.x;
    max_pool2d_backward(dx, dy, index, c.options);
    expect_close(dx, expected_dx, tolerance(), "dx of " + c.x.str());
  }
}

TEST_P(Pool2dTest, AverageAgainstTheDefinition) {
  for (const Case& c : cases()) {
    const Tensor x = random(c.x, 1);
    const Shape out = pool2d_output_shape(c.x, c.options);
    const Tensor dy = random(out, 2);
    const std::vector<double> xs = to_doubles(x), g = to_doubles(dy);
    std::vector<double> expected(g.size()), expected_dx(xs.size(), 0);
    for_each_output(c, [&](std::size_t at, const std::vector<std::int64_t>& cells, auto&& offset) {
      const double count = static_cast<double>(cells.size());
      double sum = 0;
      for (std::int64_t cell : cells) sum += xs[offset(cell)];
      for (std::int64_t cell : cells) expected_dx[offset(cell)] += g[at] / count;
      expected[at] = sum / count;
    });
    Tensor y = make_like(out), dx = make_like(c.x);
    avg_pool2d_forward(y, x, c.options);
    expect_close(y, expected, tolerance(), "y of " + c.x.str());
    avg_pool2d_backward(dx, dy, c.options);
    expect_close(dx, expected_dx, tolerance(), "dx of " + c.x.str());
  }
}

// Central difference in f64 of <y, dy>; pooling is piecewise linear, so h may be small.
TEST(Pool2d, GradientCheck) {
  const Pool2dOptions o = {.kernel = 3, .stride = 2, .padding = 1};
  const Shape shape = {2, 5, 6, 3}, out = pool2d_output_shape(shape, o);
  const std::vector<double> xs = random_values(shape.numel(), 1, 3);
  const Tensor x = Tensor::from(xs, shape);
  const Tensor dy = Tensor::from(random_values(out.numel(), 1, 4), out);
  Tensor y = Tensor::zeros(out, DType::f64), dx = Tensor::zeros_like(x);
  Tensor index = Tensor::zeros(out, DType::i32);
  const auto value = [&](auto&& forward, std::size_t i, double h) {
    std::vector<double> moved = xs;
    moved[i] += h;
    forward(Tensor::from(moved, shape));
    double sum = 0;
    for (std::int64_t j = 0; j < y.numel(); ++j) sum += y.data<double>()[j] * dy.data<double>()[j];
    return sum;
  };
  const auto check = [&](auto&& forward) {
    std::vector<double> numeric;
    for (std::size_t i = 0; i < xs.size(); ++i)
      numeric.push_back((value(forward, i, 1e-6) - value(forward, i, -1e-6)) / 2e-6);
    expect_close(dx, numeric, 1e-6);
  };
  max_pool2d_forward(y, index, x, o);
  max_pool2d_backward(dx, dy, index, o);
  check([&](const Tensor& at) { max_pool2d_forward(y, index, at, o); });
  avg_pool2d_backward(dx, dy, o);
  check([&](const Tensor& at) { avg_pool2d_forward(y, at, o); });
}

TEST(Pool2d, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Pool2dOptions o = {.kernel = 3, .stride = 2, .padding = 1};
    const Shape shape = {8, 28, 28, 20}, out = pool2d_output_shape(shape, o);
    const Tensor x = Tensor::from(random_values(shape.numel()), shape).to(DType::f32);
    Tensor y = Tensor::empty(out), mean = Tensor::empty(out),
           index = Tensor::empty(out, DType::i32);
    Tensor dx = Tensor::empty(shape), dmean = Tensor::empty(shape);
    max_pool2d_forward(y, index, x, o);
    avg_pool2d_forward(mean, x, o);
    max_pool2d_backward(dx, mean, index, o);
    avg_pool2d_backward(dmean, y, o);
    return std::vector{y, index, mean, dx, dmean};
  });
}

TEST(Pool2d, Rejections) {
  Tensor x = Tensor::zeros({1, 4, 4, 2}), y = Tensor::zeros({1, 2, 2, 2});
  Tensor index = Tensor::zeros({1, 2, 2, 2}, DType::i32), small = Tensor::zeros({1, 1, 2, 2});
  Tensor wide = y.to(DType::f64);
  expect_error([&] { avg_pool2d_forward(small, x, {}); },
               "avg_pool2d_forward: output has shape (1,1,2,2), input (1,4,4,2); expected output "
               "(1,2,2,2)");
  expect_error([&] { avg_pool2d_forward(wide, x, {}); },
               "avg_pool2d_forward: input is f32, output f64; expected one floating dtype");
  expect_error([&] { avg_pool2d_backward(x, Tensor(), {}); },
               "avg_pool2d_backward: a tensor is undefined");
  expect_error([&] { max_pool2d_forward(y, y, x, {}); },
               "max_pool2d_forward: index is not i32(1,2,2,2) on cpu");
  expect_error([&] { max_pool2d_backward(x, y, Tensor(), {}); },
               "max_pool2d_backward: index is not i32(1,2,2,2) on cpu");
  expect_error(
      [&] {
        pool2d_output_shape({4, 4, 2}, {});
      },
      "pool2d_output_shape: x has shape (4,4,2); expected (N,H,W,C)");
  expect_error(
      [&] {
        pool2d_output_shape({1, 2, 2, 1}, {.kernel = 3});
      },
      "pool2d_output_shape: x has shape (1,2,2,1) with padding 0; expected images of at "
      "least 3x3");
  expect_error([&] { max_pool2d_forward(y, index, x, {.stride = 0}); },
               "max_pool2d_forward: kernel is 2, stride 0; expected both >= 1");
  expect_error([&] { max_pool2d_forward(y, index, x, {.padding = 2}); },
               "max_pool2d_forward: padding is 2; expected 0 <= padding <= kernel / 2 = 1");
}

}  // namespace
}  // namespace limbeck::testing

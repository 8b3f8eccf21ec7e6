// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/conv2d.h>

#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

struct Case {
  Shape x, w;
  Conv2dOptions options;
};

// 1x1 and 3x3 and 5x5 windows, odd sizes, strides that leave a rest, windows wider than the image,
// padding beyond the kernel, more rows than one block (6144 at few columns, 48 at many), an empty
// batch, more columns than one k block of the product, windows with gaps, and groups: of several
// channels, with several outputs, and depthwise with more and fewer channels than lanes; weights
// too many and images too large for one task of the direct loops.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
      {{2, 5, 6, 3}, {4, 3, 3, 3}, {}},
      {{2, 5, 6, 3}, {4, 3, 3, 3}, {.stride = 1, .padding = 1}},
      {{3, 7, 9, 2}, {5, 3, 2, 2}, {.stride = 2, .padding = 1}},
      {{1, 8, 7, 1}, {3, 5, 5, 1}, {.stride = 3, .padding = 2}},
      {{2, 2, 3, 2}, {2, 4, 5, 2}, {.stride = 1, .padding = 2}},
      {{1, 3, 3, 1}, {1, 2, 2, 1}, {.stride = 2, .padding = 4}},
      {{9, 28, 28, 1}, {16, 3, 3, 1}, {.stride = 1, .padding = 1}},
      {{2, 9, 9, 48}, {33, 3, 3, 48}, {.stride = 1, .padding = 1}},
      {{2, 9, 8, 170}, {7, 3, 3, 170}, {.stride = 2, .padding = 1}},
      {{0, 5, 5, 2}, {3, 3, 3, 2}, {}},
      {{2, 7, 8, 3}, {4, 3, 3, 3}, {.stride = 2, .padding = 2, .dilation = 2}},
      {{2, 6, 5, 6}, {4, 3, 3, 3}, {.padding = 1, .groups = 2}},
      {{1, 7, 7, 3}, {6, 3, 2, 1}, {.padding = 2, .dilation = 2, .groups = 3}},
      {{2, 9, 11, 19}, {19, 3, 3, 1}, {.padding = 1, .groups = 19}},
      {{1, 8, 9, 16}, {16, 3, 4, 1}, {.stride = 2, .padding = 1, .groups = 16}},
      {{1, 9, 12, 5}, {5, 2, 5, 1}, {.stride = 1, .padding = 3, .dilation = 2, .groups = 5}},
      {{2, 3, 2, 2}, {2, 3, 5, 1}, {.stride = 3, .padding = 4, .groups = 2}},
      {{1, 4, 3, 120}, {64, 3, 3, 120}, {.stride = 1, .padding = 1}},
      {{1, 40, 37, 2}, {3, 3, 3, 2}, {.stride = 1, .padding = 1}},
      {{1, 70, 66, 1}, {2, 3, 3, 1}, {.stride = 2, .padding = 1}},
  };
  return all;
}

// visit(y position, x position, w position) for every product, chains in the order of the contract.
template <class Visit>
void for_each_product(const Case& c, Visit&& visit) {
  const Shape y = conv2d_output_shape(c.x, c.w, c.options);
  for (std::int64_t r = 0; r < y[0] * y[1] * y[2]; ++r) {
    const std::int64_t n = r / y[2] / y[1], i = r / y[2] % y[1], j = r % y[2];
    for (std::int64_t o = 0; o < c.w[0]; ++o)
      for (std::int64_t k = 0; k < c.w[1] * c.w[2] * c.w[3]; ++k) {
        const std::int64_t kh = k / c.w[3] / c.w[2], kw = k / c.w[3] % c.w[2];
        const std::int64_t h = i * c.options.stride - c.options.padding + kh * c.options.dilation;
        const std::int64_t w = j * c.options.stride - c.options.padding + kw * c.options.dilation;
        const std::int64_t channel = o * c.options.groups / c.w[0] * c.w[3] + k % c.w[3];
        if (h < 0 || h >= c.x[1] || w < 0 || w >= c.x[2]) continue;
        visit(static_cast<std::size_t>(r * c.w[0] + o),
              static_cast<std::size_t>(((n * c.x[1] + h) * c.x[2] + w) * c.x[3] + channel),
              static_cast<std::size_t>(o * c.w[1] * c.w[2] * c.w[3] + k));
      }
  }
}

// Roundings grow with the number of products in a sum, which a dtype's own tolerance allows for.
class Conv2dTest : public DeviceTest {
 protected:
  Tensor random(const Shape& shape, std::uint64_t seed) const {
    return make(random_values(shape.numel(), 1, seed), shape);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(Conv2dTest);

TEST_P(Conv2dTest, HandNumbers) {
  // 3x3 image, 2x2 window 1 2 / 3 4, bias 10: first output 1*1 + 2*2 + 3*4 + 4*5 + 10 = 47.
  const Tensor x = make({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 3, 3, 1});
  const Tensor w = make({1, 2, 3, 4}, {1, 2, 2, 1});
  Tensor y = make_like({1, 2, 2, 1});
  conv2d_forward(y, x, w, make({10}, {1}), {});
  expect_close(y, {47, 57, 77, 87}, tolerance());
  conv2d_forward(y, x, w, Tensor(), {});
  expect_close(y, {37, 47, 67, 77}, tolerance());
  // dy = 1 0 / 0 2: the middle pixel meets w11 * 1 + w00 * 2 = 4 + 2 = 6.
  const Tensor dy = make({1, 0, 0, 2}, {1, 2, 2, 1});
  Tensor dx = make_like(x.shape()), dw = make({100, 0, 0, 0}, w.shape());
  conv2d_backward_data(dx, dy, w, {});
  expect_close(dx, {1, 2, 0, 3, 6, 4, 0, 6, 8}, tolerance());
  // dw00 = 1*1 + 5*2 = 11 and so on, added to what was there.
  conv2d_backward_weight(dw, x, dy, Out::add, {});
  expect_close(dw, {111, 14, 20, 23}, tolerance());
  conv2d_backward_weight(dw, x, dy, Out::write, {});
  expect_close(dw, {11, 14, 20, 23}, tolerance());
}

TEST_P(Conv2dTest, AgainstTheDefinition) {
  for (const Case& c : cases()) {
    const Shape out = conv2d_output_shape(c.x, c.w, c.options);
    const Tensor x = random(c.x, 1), w = random(c.w, 2), bias = random({c.w[0]}, 3);
    const Tensor dy = random(out, 4);
    Tensor y = make_like(out), dx = make_like(c.x), dw = random(c.w, 5);
    const auto xs = to_doubles(x), ws = to_doubles(w), bs = to_doubles(bias), g = to_doubles(dy);
    std::vector<double> ey(g.size()), edx(xs.size()), edw = to_doubles(dw);
    for (std::size_t i = 0; i < ey.size(); ++i) ey[i] = bs[i % bs.size()];
    for_each_product(c, [&](std::size_t at_y, std::size_t at_x, std::size_t at_w) {
      ey[at_y] += xs[at_x] * ws[at_w];
      edx[at_x] += g[at_y] * ws[at_w];
      edw[at_w] += g[at_y] * xs[at_x];
    });
    conv2d_forward(y, x, w, bias, c.options);
    expect_close(y, ey, tolerance(), "y of " + c.x.str() + c.w.str());
    conv2d_backward_data(dx, dy, w, c.options);
    expect_close(dx, edx, tolerance(), "dx of " + c.x.str() + c.w.str());
    conv2d_backward_weight(dw, x, dy, Out::add, c.options);
    expect_close(dw, edw, tolerance(), "dw of " + c.x.str() + c.w.str());
  }
}

TEST_P(Conv2dTest, AnImageOfPaddingAloneGivesTheBias) {
  Tensor y = make_like({1, 2, 1, 2});
  conv2d_forward(y, make_like({1, 0, 1, 3}), make_like({2, 3, 5, 3}), make({4, 5}, {2}),
                 {.stride = 1, .padding = 2});
  expect_close(y, {4, 5, 4, 5}, 0);
}

TEST_P(Conv2dTest, EmptyBatchWritesZeroWeightGradients) {
  expect_no_launch();
  Tensor dw = make_like({2, 3, 3, 1});
  conv2d_backward_weight(dw, make_like({0, 5, 5, 1}), make_like({0, 3, 3, 2}), Out::write, {});
  expect_close(dw, std::vector<double>(18, 0), 0);
}

// One FMA chain per element in the order of the contract, so a plain loop gives the same bits.
TEST(Conv2d, ForwardAndWeightGradientAreTheChainsOfTheContract) {
  for (const Case& c : cases()) {
    const Shape out = conv2d_output_shape(c.x, c.w, c.options);
    const auto random = [](const Shape& shape, std::uint64_t seed) {
      return Tensor::from(random_values(shape.numel(), 1, seed), shape).to(DType::f32);
    };
    const Tensor x = random(c.x, 1), w = random(c.w, 2), dy = random(out, 3);
    Tensor y = Tensor::empty(out), dw = Tensor::empty(c.w);
    Tensor ey = Tensor::zeros(out), edw = Tensor::zeros(c.w);
    float *sum_y = ey.data<float>(), *sum_w = edw.data<float>();
    const float *px = x.data<float>(), *pw = w.data<float>(), *g = dy.data<float>();
    for_each_product(c, [&](std::size_t at_y, std::size_t at_x, std::size_t at_w) {
      sum_y[at_y] = std::fma(px[at_x], pw[at_w], sum_y[at_y]);
      sum_w[at_w] = std::fma(g[at_y], px[at_x], sum_w[at_w]);
    });
    conv2d_forward(y, x, w, Tensor(), c.options);
    conv2d_backward_weight(dw, x, dy, Out::write, c.options);
    // A padded product adds 0 * w, which changes no bit of a sum that is not -0.
    EXPECT_TRUE(same_bytes(y, ey)) << c.x << c.w;
    EXPECT_TRUE(same_bytes(dw, edw)) << c.x << c.w;
  }
}

// The sums over the batch are chains too: two halves added in order are the whole, bit for bit.
TEST(Conv2d, BatchBlocksEqualTheWhole) {
  const Conv2dOptions o = {.stride = 1, .padding = 1};
  const Tensor x = Tensor::from(random_values(10 * 12 * 12 * 8), {10, 12, 12, 8}).to(DType::f32);
  const Tensor w = Tensor::from(random_values(20 * 72), {20, 3, 3, 8}).to(DType::f32);
  const Tensor dy = Tensor::from(random_values(10 * 144 * 20), {10, 12, 12, 20}).to(DType::f32);
  Tensor y = Tensor::empty(dy.shape()), dx = Tensor::empty(x.shape()),
         dw = Tensor::empty(w.shape());
  conv2d_forward(y, x, w, Tensor(), o);
  conv2d_backward_data(dx, dy, w, o);
  conv2d_backward_weight(dw, x, dy, Out::write, o);
  Tensor part_dw = Tensor::empty(w.shape());
  for (const auto& [begin, end] : {std::pair<int, int>{0, 3}, {3, 10}}) {
    Tensor part_y = Tensor::empty({end - begin, 12, 12, 20});
    Tensor part_dx = Tensor::empty({end - begin, 12, 12, 8});
    const Tensor part_x = x.rows(begin, end), part_dy = dy.rows(begin, end);
    conv2d_forward(part_y, part_x, w, Tensor(), o);
    conv2d_backward_data(part_dx, part_dy, w, o);
    conv2d_backward_weight(part_dw, part_x, part_dy, begin == 0 ? Out::write : Out::add, o);
    EXPECT_TRUE(same_bytes(part_y, y.rows(begin, end)));
    EXPECT_TRUE(same_bytes(part_dx, dx.rows(begin, end)));
  }
  EXPECT_TRUE(same_bytes(part_dw, dw));
}

// Central difference in f64 of <y, dy>, which is linear in x and in w.
TEST(Conv2d, GradientCheck) {
  const Conv2dOptions o = {.stride = 2, .padding = 1};
  const Shape sx = {2, 5, 6, 3}, sw = {4, 3, 3, 3}, sy = conv2d_output_shape(sx, sw, o);
  const auto xs = random_values(sx.numel(), 1, 1), ws = random_values(sw.numel(), 1, 2);
  const Tensor dy = Tensor::from(random_values(sy.numel(), 1, 3), sy);
  const auto value = [&](const std::vector<double>& x, const std::vector<double>& w) {
    Tensor y = Tensor::empty(sy, DType::f64);
    conv2d_forward(y, Tensor::from(x, sx), Tensor::from(w, sw), Tensor(), o);
    double sum = 0;
    for (std::int64_t j = 0; j < y.numel(); ++j) sum += y.data<double>()[j] * dy.data<double>()[j];
    return sum;
  };
  const auto slope = [](std::vector<double> at, auto&& f) {
    std::vector<double> g;
    for (double& v : at) {
      const double before = v;
      v = before + 1e-4;
      const double up = f(at);
      v = before - 1e-4;
      g.push_back((up - f(at)) / 2e-4);
      v = before;
    }
    return g;
  };
  Tensor dx = Tensor::empty(sx, DType::f64), dw = Tensor::empty(sw, DType::f64);
  conv2d_backward_data(dx, dy, Tensor::from(ws, sw), o);
  expect_close(dx, slope(xs, [&](const auto& x) { return value(x, ws); }), 1e-6, "dx");
  conv2d_backward_weight(dw, Tensor::from(xs, sx), dy, Out::write, o);
  expect_close(dw, slope(ws, [&](const auto& w) { return value(xs, w); }), 1e-6, "dw");
}

TEST(Conv2d, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Conv2dOptions o = {.stride = 1, .padding = 1};
    const Shape sx = {16, 14, 14, 20}, sw = {24, 3, 3, 20}, sy = conv2d_output_shape(sx, sw, o);
    const Tensor x = Tensor::from(random_values(sx.numel()), sx).to(DType::f32);
    const Tensor w = Tensor::from(random_values(sw.numel()), sw).to(DType::f32);
    Tensor y = Tensor::empty(sy), dx = Tensor::empty(sx), dw = Tensor::empty(sw);
    conv2d_forward(y, x, w, Tensor(), o);
    conv2d_backward_data(dx, y, w, o);
    conv2d_backward_weight(dw, x, y, Out::write, o);
    return std::vector{y, dx, dw};
  });
}

TEST(Conv2d, Rejections) {
  Tensor x = Tensor::zeros({1, 4, 4, 2}), w = Tensor::zeros({3, 3, 3, 2});
  Tensor y = Tensor::zeros({1, 2, 2, 3}), small = Tensor::zeros({1, 2, 1, 3});
  const Tensor none;
  expect_error([&] { conv2d_forward(small, x, w, none, {}); },
               "conv2d_forward: y has shape (1,2,1,3), x (1,4,4,2), w (3,3,3,2); expected y "
               "(1,2,2,3)");
  expect_error(
      [&] {
        conv2d_forward(y, x, Tensor::zeros({3, 3, 3, 1}), none, {});
      },
      "conv2d_forward: x has shape (1,4,4,2), w (3,3,3,1), groups 1; expected (N,H,W,C) and");
  expect_error(
      [&] {
        conv2d_forward(y, x, Tensor::zeros({3, 0, 3, 2}), none, {});
      },
      "conv2d_forward: x has shape (1,4,4,2), w (3,0,3,2)");
  expect_error(
      [&] {
        conv2d_forward(y, x, Tensor::zeros({3, 5, 3, 2}), none, {});
      },
      "conv2d_forward: x has shape (1,4,4,2) with padding 0, w (3,5,3,2) with dilation 1; "
      "expected images");
  expect_error([&] { conv2d_forward(y, x, w.to(DType::f64), none, {}); },
               "conv2d_forward: x is f32, w f64, y f32; expected one floating dtype");
  expect_error([&] { conv2d_forward(y, x, w, Tensor::zeros({2}), {}); },
               "conv2d_forward: bias is f32(2) on cpu, w f32(3,3,3,2) on cpu");
  expect_error(
      [&] { conv2d_forward(y, x, w, none, {.stride = 0}); },
      "conv2d_forward: stride is 0, padding 0, dilation 1, groups 1; expected padding >= 0");
  expect_error([&] { conv2d_backward_data(x, none, w, {}); },
               "conv2d_backward_data: a tensor is undefined");
  expect_error([&] { conv2d_backward_weight(w, x, small, Out::write, {}); },
               "conv2d_backward_weight: y has shape (1,2,1,3)");
  expect_error(
      [&] {
        conv2d_output_shape({4, 4}, {1, 1, 1, 1}, {});
      },
      "conv2d_output_shape: x has shape (4,4)");
  expect_error([&] { conv2d_forward(y, x, w, none, {.groups = 2}); },
               "conv2d_forward: x has shape (1,4,4,2), w (3,3,3,2), groups 2; expected");
  expect_error([&] { conv2d_forward(y, x, w, none, {.dilation = 2}); },
               "w (3,3,3,2) with dilation 2; expected images as large as w");
  expect_error(
      [&] {
        conv2d_output_shape({1, 4, 4, 2}, {3, 3, 3, 1}, {.groups = 2});
      },
      "w (3,3,3,1), groups 2; expected (N,H,W,C) and (O,KH,KW,C/groups), O a multiple of groups");
}

}  // namespace
}  // namespace limbeck::testing

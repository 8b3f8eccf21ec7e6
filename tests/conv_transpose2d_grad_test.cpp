// SPDX-License-Identifier: Apache-2.0
// Tests of the transposed convolution as a differentiable op.
#include <limbeck/autograd/conv_transpose2d.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

class ConvTranspose2dGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(ConvTranspose2dGradTest);

// Pixels (1,2) each lay down the window (3,4;5,6), two apart, on a bias of 1; the padded
// row and column keep the bias. From dy = 1 everywhere: dx = 3+4+5+6 each, dw = 1+2 each, db = 15.
TEST_P(ConvTranspose2dGradTest, HandNumbers) {
  const Variable x(make({1, 2}, {1, 1, 2, 1}), true);
  const Variable w(make({3, 4, 5, 6}, {1, 2, 2, 1}), true), b(make({1}, {1}), true);
  const Variable y = conv_transpose2d(x, w, b, {{.stride = 2}, 1});
  ASSERT_EQ(y.shape(), Shape({1, 3, 5, 1}));
  expect_close(y.value(), {4, 5, 7, 9, 1, 6, 7, 11, 13, 1, 1, 1, 1, 1, 1}, tolerance());
  y.backward(make(std::vector<double>(15, 1), y.shape()));
  expect_close(x.grad(), {18, 18}, tolerance());
  expect_close(w.grad(), {3, 3, 3, 3}, tolerance());
  expect_close(b.grad(), {15}, tolerance());
}

struct Case {
  Shape x, w;
  ConvTranspose2dOptions options;
};

// Overlapping and separate windows, padding, dilation, groups and one group per channel.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 3, 4, 2}, {2, 3, 3, 3}, {}},
      {{1, 3, 2, 3}, {3, 3, 3, 2}, {{.stride = 2, .padding = 1}, 1}},
      {{1, 2, 3, 2}, {2, 2, 2, 1}, {{.stride = 3}, 2}},
      {{1, 3, 4, 2}, {2, 3, 2, 2}, {{.stride = 2, .padding = 1, .dilation = 2}, 1}},
      {{2, 3, 3, 4}, {4, 3, 3, 3}, {{.stride = 2, .padding = 1, .groups = 2}}},
      {{1, 3, 3, 3}, {3, 3, 3, 1}, {{.stride = 2, .padding = 1, .groups = 3}, 1}},
  };
  return all;
}

// The definition: every product is added where it lands.
std::vector<double> lay_windows(const std::vector<double>& x, const std::vector<double>& w,
                                const Case& c, const Shape& y) {
  const Conv2dOptions& o = c.options.conv;
  const std::int64_t inputs = c.x[3] / o.groups, outputs = c.w[3];
  std::vector<double> sums(static_cast<std::size_t>(y.numel()), 0);
  for (std::int64_t at = 0; at < c.x.numel(); ++at) {
    const std::int64_t ci = at % c.x[3], ww = at / c.x[3] % c.x[2];
    const std::int64_t h = at / c.x[3] / c.x[2] % c.x[1], n = at / c.x[3] / c.x[2] / c.x[1];
    for (std::int64_t k = 0; k < c.w[1] * c.w[2] * outputs; ++k) {
      const std::int64_t i = h * o.stride - o.padding + k / outputs / c.w[2] * o.dilation;
      const std::int64_t j = ww * o.stride - o.padding + k / outputs % c.w[2] * o.dilation;
      if (i < 0 || j < 0 || i >= y[1] || j >= y[2]) continue;
      const std::int64_t channel = ci / inputs * outputs + k % outputs;
      sums[static_cast<std::size_t>(((n * y[1] + i) * y[2] + j) * y[3] + channel)] +=
          x[static_cast<std::size_t>(at)] *
          w[static_cast<std::size_t>(ci * c.w[1] * c.w[2] * outputs + k)];
    }
  }
  return sums;
}

TEST_P(ConvTranspose2dGradTest, AgreesWithTheDefinition) {
  for (const Case& c : cases()) {
    const Tensor x = make(random_values(c.x.numel(), 1, 1), c.x);
    const Tensor w = make(random_values(c.w.numel(), 1, 2), c.w);
    const Variable y = conv_transpose2d(Variable(x), Variable(w), Variable(), c.options);
    EXPECT_EQ(y.shape(), conv_transpose2d_output_shape(c.x, c.w, c.options));
    expect_close(y.value(), lay_windows(to_doubles(x), to_doubles(w), c, y.shape()), tolerance(),
                 c.x.str() + c.w.str());
  }
}

TEST(ConvTranspose2dGrad, Gradients) {  // linear in each input: no bias, only noise
  for (const Case& c : cases()) {
    const std::int64_t outputs = c.w[3] * c.options.conv.groups;
    const GradCheckResult result = grad_check(
        [&](std::span<const Variable> v) { return conv_transpose2d(v[0], v[1], v[2], c.options); },
        {Tensor::from(random_values(c.x.numel(), 1, 1), c.x),
         Tensor::from(random_values(c.w.numel(), 1, 2), c.w),
         Tensor::from(random_values(outputs, 1, 3), {outputs})});
    EXPECT_LT(result.error, 1e-8) << c.x << c.w << result.where;
  }
}

TEST(ConvTranspose2dGrad, SameBitsForThreadsAndInstructionSets) {
  expect_same_bits([] {
    const Variable x(Tensor::from(random_values(4 * 7 * 6 * 5), {4, 7, 6, 5}).to(DType::f32), true);
    const Variable w(Tensor::from(random_values(5 * 9 * 7), {5, 3, 3, 7}).to(DType::f32), true);
    const Variable b(Tensor::zeros({7}), true);
    const Variable y = conv_transpose2d(x, w, b, {{.stride = 2, .padding = 1}, 1});
    y.backward(y.value().clone());
    return std::vector{y.value(), x.grad(), w.grad(), b.grad()};
  });
}

TEST(ConvTranspose2dGrad, Rejections) {
  const Shape x = {1, 2, 2, 4}, w = {4, 3, 3, 2};
  const auto rejects = [&](const Shape& input, const ConvTranspose2dOptions& o, const char* text) {
    expect_error([&] { conv_transpose2d_output_shape(input, w, o); }, text);
  };
  rejects(x, {{.stride = 0}}, "conv_transpose2d: stride is 0, padding 0, dilation 1, groups 1");
  rejects(x, {{}, 1}, "conv_transpose2d: output_padding is 1, stride 1; expected");
  rejects({1, 2, 2, 3}, {},
          "conv_transpose2d: x has shape (1,2,2,3), w (4,3,3,2), groups 1; expected");
  rejects(x, {{.groups = 3}}, "conv_transpose2d: x has shape (1,2,2,4), w (4,3,3,2), groups 3");
  rejects(x, {{.padding = 2}},
          "conv_transpose2d: x has shape (1,2,2,4), w (4,3,3,2), padding 2; expected an output of "
          "at least 1x1");
}

}  // namespace
}  // namespace limbeck::testing

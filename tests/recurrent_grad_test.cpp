// SPDX-License-Identifier: Apache-2.0
// Tests of recurrent layers as differentiable ops.
#include <limbeck/autograd/grad_check.h>
#include <limbeck/autograd/recurrent.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class RecurrentGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(RecurrentGradTest);

// relu, w = 2, h0 = 1, p = (1, 1): h = 1 + 2 = 3, then 1 + 6 = 7. For dy = (1, 1): dp = (1 + 2, 1),
// dw = 3 * 1 + 1 * 3 = 6, db = 3 + 1 = 4, dh0 = 3 * 2 = 6.
TEST_P(RecurrentGradTest, HandNumbers) {
  const RecurrentDirection d = {Variable(make({1, 1}, {1, 2, 1}), true),
                                Variable(make({2}, {1, 1}), true),
                                Variable(make({0}, {1}), true),
                                Variable(make({1}, {1, 1}), true),
                                {}};
  const RecurrentResult result = recurrent({&d, 1}, RecurrentCell::relu);
  expect_close(result.y.value(), {3, 7}, 0);
  expect_close(result.h_n[0], {7}, 0);
  result.y.backward(make({1, 1}, {1, 2, 1}));
  expect_close(d.p.grad(), {3, 1}, 0);
  expect_close(d.w_hh.grad(), {6}, 0);
  expect_close(d.b_hh.grad(), {4}, 0);
  expect_close(d.h0.grad(), {6}, 0);
}

TEST_P(RecurrentGradTest, ParameterGradientsAdd) {
  const RecurrentDirection d = {Variable(make({1, 1}, {1, 2, 1})),
                                Variable(make({2}, {1, 1}), true),
                                Variable(make({0}, {1}), true),
                                Variable(make({1}, {1, 1})),
                                {}};
  for (int i = 0; i < 2; ++i)
    recurrent({&d, 1}, RecurrentCell::relu).y.backward(make({1, 1}, {1, 2, 1}));
  expect_close(d.w_hh.grad(), {12}, 0);
  expect_close(d.b_hh.grad(), {8}, 0);
}

// Both directions, with initial states and lengths of which one is 0. relu's kinks are avoided by
// inputs far from 0.
TEST(RecurrentGrad, Gradients) {
  const std::int64_t N = 3, T = 3, H = 2;
  const Tensor lengths = Tensor::from(std::vector<std::int32_t>{3, 0, 2}, {N});
  for (RecurrentCell cell :
       {RecurrentCell::tanh, RecurrentCell::relu, RecurrentCell::lstm, RecurrentCell::gru}) {
    const std::int64_t G = recurrent_gates(cell);
    std::vector<Tensor> inputs;
    for (std::uint64_t seed : {10u, 20u})
      for (const Shape& shape :
           {Shape{N, T, G * H}, Shape{G * H, H}, Shape{G * H}, Shape{N, H}, Shape{N, H}})
        inputs.push_back(Tensor::from(random_values(shape.numel(), 1, ++seed), shape));
    const bool lstm = cell == RecurrentCell::lstm;
    if (!lstm) inputs.erase(inputs.begin() + 9), inputs.erase(inputs.begin() + 4);
    const auto f = [&](std::span<const Variable> v) {
      const std::size_t each = lstm ? 5 : 4;
      const RecurrentDirection directions[] = {
          {v[0], v[1], v[2], v[3], lstm ? v[4] : Variable()},
          {v[each], v[each + 1], v[each + 2], v[each + 3], lstm ? v[each + 4] : Variable()}};
      return recurrent(directions, cell, lengths).y;
    };
    const GradCheckResult result = grad_check(f, inputs);
    EXPECT_LT(result.error, 1e-6) << result.where;
  }
}

TEST(RecurrentGrad, RefusesOtherThanOneOrTwoDirections) {
  expect_error([] { recurrent({}, RecurrentCell::gru); }, "0 directions; expected 1 or 2");
}

}  // namespace
}  // namespace limbeck::testing

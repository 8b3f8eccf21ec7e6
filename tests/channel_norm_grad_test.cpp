// SPDX-License-Identifier: Apache-2.0
// Tests of batch norm and group norm as differentiable ops.
#include <limbeck/autograd/channel_norm.h>

#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class ChannelNormGradTest : public DeviceTest {
 protected:
  Tensor statistics(const std::vector<double>& values) const {
    const DType kept = dtype() == DType::f64 ? DType::f64 : DType::f32;
    return Tensor::from(values, {static_cast<std::int64_t>(values.size())}).to(kept).to(device());
  }

  enum class Kind { batch, frozen, group };
  /// The result, the gradients of x, weight, bias and skip, and the running statistics, of a norm
  /// and what follows it as one op or as several; `needs` says whose gradients are.
  std::vector<Tensor> pass(Kind kind, bool one_op, bool with_skip, const std::string& needs) const {
    const Shape s{2, 3, 2, 4};
    const auto variable = [&](const char* name, const Shape& shape, std::uint64_t seed) {
      return Variable(make(random_values(shape.numel(), 1, seed), shape),
                      needs.find(name) != std::string::npos);
    };
    const Variable x = variable("x", s, 1), w = variable("w", {4}, 2), b = variable("b", {4}, 3);
    const Variable skip = with_skip ? variable("skip", s, 4) : Variable();
    const RunningStatistics running = {statistics({0, 1, -1, 0}), statistics({1, 2, 1, 1})};
    const AfterNorm after = one_op ? AfterNorm{true, skip} : AfterNorm{};
    Variable y = kind == Kind::batch    ? batch_norm(x, w, b, running, 0.1, 1e-3, after)
                 : kind == Kind::frozen ? frozen_batch_norm(x, w, b, running, 1e-3, after)
                                        : group_norm(x, 2, w, b, 1e-3, after);
    if (!one_op && with_skip) y = add(skip, y);
    if (!one_op) y = activation(y, Activation::relu);
    std::vector<Tensor> all = {y.value(), running.mean, running.variance};
    if (!y.requires_grad()) return all;
    y.backward(make(random_values(s.numel(), 1, 5), s));
    for (const Variable& v : {x, w, b, skip}) {
      EXPECT_EQ(v.grad().defined(), v.requires_grad());
      if (v.requires_grad()) all.push_back(v.grad());
    }
    return all;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ChannelNormGradTest);

// One channel, x = (1,3): mean 2, variance 1 (unbiased: 2), eps 3: n = (-1,1)/2, y = 4 n + 1.
// From dy = (1,0): dbias = 1, dweight = -1/2, dx = (3/4,-3/4) as in channel_norm_test.
TEST_P(ChannelNormGradTest, BatchNormHandNumbers) {
  const Variable x(make({1, 3}, {2, 1}), true);
  const Variable w(make({4}, {1}), true), b(make({1}, {1}), true);
  const RunningStatistics running = {statistics({10}), statistics({20})};
  const Variable y = batch_norm(x, w, b, running, 0.25, 3);
  expect_close(y.value(), {-1, 3}, tolerance());
  expect_close(running.mean, {0.75 * 10 + 0.25 * 2}, 2e-6);
  expect_close(running.variance, {0.75 * 20 + 0.25 * 2}, 2e-6);
  y.backward(make({1, 0}, {2, 1}));
  expect_close(w.grad(), {-0.5}, tolerance());
  expect_close(b.grad(), {1}, tolerance());
  expect_close(x.grad(), {0.75, -0.75}, 4 * tolerance());
}

// Mean 1, variance 1, eps 3: y = 4 (x - 1) / 2 + 1, dx = 2 dy; dweight = sum dy (x - 1) / 2.
TEST_P(ChannelNormGradTest, FrozenBatchNormHandNumbersSurviveMovingStatistics) {
  const Variable x(make({1, 3}, {2, 1}), true);
  const Variable w(make({4}, {1}), true), b(make({1}, {1}), true);
  RunningStatistics frozen = {statistics({1}), statistics({1})};
  const Variable y = frozen_batch_norm(x, w, b, frozen, 3);
  expect_close(y.value(), {1, 5}, tolerance());
  frozen.mean.fill(777);
  frozen.variance.fill(777);
  y.backward(make({1, 5}, {2, 1}));
  expect_close(w.grad(), {5}, tolerance());
  expect_close(b.grad(), {6}, tolerance());
  expect_close(x.grad(), {2, 10}, tolerance());
}

// Two samples of one cell, two groups of two channels.
TEST_P(ChannelNormGradTest, GroupNormHandNumbers) {
  const Variable x(make({1, 3, 3, 1, 0, 2, 5, 5}, {2, 1, 4}), true);
  const Variable y = group_norm(x, 2, {}, {}, 3);
  expect_close(y.value(), {-0.5, 0.5, 0.5, -0.5, -0.5, 0.5, 0, 0}, tolerance());
  y.backward(make({1, 0, 0, 0, 0, 0, 0, 0}, {2, 1, 4}));
  // mean of g = 1/2, of g n = -1/4: dx = (1/2) ((1,0) - 1/2 + n / 4).
  expect_close(x.grad(), {0.1875, -0.1875, 0, 0, 0, 0, 0, 0}, 4 * tolerance());
}

TEST_P(ChannelNormGradTest, OneOpHasTheBitsOfSeveral) {
  for (const Kind kind : {Kind::batch, Kind::frozen, Kind::group})
    for (const bool with_skip : {false, true})
      for (const char* needs : {"x w b skip", "x", "w", "skip", "x skip", "none"}) {
        const auto one = pass(kind, true, with_skip, needs);
        const auto several = pass(kind, false, with_skip, needs);
        ASSERT_EQ(one.size(), several.size());
        for (std::size_t i = 0; i < one.size(); ++i)
          EXPECT_TRUE(same_bytes(one[i], several[i]))
              << i << " of norm " << static_cast<int>(kind) << ", needs " << needs
              << (with_skip ? ", with skip" : "");
      }
}

// relu(norm(x) + x): both gradients are added in x's.
TEST_P(ChannelNormGradTest, MaySkipItself) {
  const Tensor values = make(random_values(40), {10, 4});
  const Variable x(values, true), z(values, true);
  const Variable y = batch_norm(x, {}, {}, {}, 0.1, 1e-3, {.relu = true, .skip = x});
  const Variable several =
      activation(add(batch_norm(z, {}, {}, {}, 0.1, 1e-3), z), Activation::relu);
  const Tensor dy = make(random_values(40, 1, 2), {10, 4});
  y.backward(dy);
  several.backward(dy);
  EXPECT_TRUE(same_bytes(y.value(), several.value()));
  EXPECT_TRUE(same_bytes(x.grad(), z.grad()));
}

TEST(ChannelNormGrad, Gradients) {  // 1e-6: h^2 f'''/6
  const Tensor x = Tensor::from(random_values(2 * 3 * 2 * 6, 3), {2, 3, 2, 6});
  const Tensor w = Tensor::from(random_values(6, 1, 2), {6});
  const Tensor b = Tensor::from(random_values(6, 1, 3), {6});
  const RunningStatistics frozen = {w.clone(), Tensor::full({6}, 2, DType::f64)};
  const auto check = [](const GradCheckResult& result) {
    EXPECT_LT(result.error, 1e-6) << result.where;
  };
  check(grad_check([](auto v) { return batch_norm(v[0], v[1], v[2], {}, 0.1, 1e-2); }, {x, w, b}));
  check(grad_check([](auto v) { return batch_norm(v[0], {}, {}, {}); }, {x}));
  check(grad_check([&](auto v) { return frozen_batch_norm(v[0], v[1], v[2], frozen); }, {x, w, b}));
  check(grad_check([](auto v) { return group_norm(v[0], 2, v[1], v[2], 1e-2); }, {x, w, b}));
  check(grad_check([](auto v) { return group_norm(v[0], 6, v[1], {}, 1e-2); }, {x, w}));
  // No element of these is within h of the relu's edge.
  const Tensor skip = Tensor::from(random_values(x.numel(), 1, 4), x.shape());
  const auto relu = [&](auto norm) {
    check(grad_check([&](auto v) { return norm(v, AfterNorm{true, {}}); }, {x, w, b}));
    check(grad_check([&](auto v) { return norm(v, AfterNorm{true, v[3]}); }, {x, w, b, skip}));
  };
  relu([](auto v, const AfterNorm& after) {
    return batch_norm(v[0], v[1], v[2], {}, 0.1, 1e-2, after);
  });
  relu([&](auto v, const AfterNorm& after) {
    return frozen_batch_norm(v[0], v[1], v[2], frozen, 1e-5, after);
  });
  relu([](auto v, const AfterNorm& after) { return group_norm(v[0], 2, v[1], v[2], 1e-2, after); });
}

TEST(ChannelNormGrad, Rejections) {
  const Variable x(Tensor::zeros({1, 4})), none;
  expect_error([&] { batch_norm(x, {}, {}, {}); },
               "batch_norm: x has shape (1,4); expected two rows or more");
  const Variable rows(Tensor::zeros({3, 4}));
  expect_error(
      [&] {
        batch_norm(rows, {}, {}, {Tensor::zeros({3}), Tensor::zeros({4})});
      },
      "batch_norm: running mean is f32(3) on cpu");
  expect_error(
      [&] {
        frozen_batch_norm(rows, {}, {}, {Tensor::zeros({4}), Tensor()});
      },
      "frozen_batch_norm: variance is undefined; expected (4)");
  expect_error([&] { group_norm(rows, 3, {}, {}); },
               "group_norm: 3 groups of 4 channels; expected a divisor");
  expect_error([&] { group_norm(Variable(Tensor::zeros({4})), 2, {}, {}); },
               "group_norm: x has shape (4)");
  expect_error([&] { group_norm(rows, 2, {}, {}, 1, {.relu = false, .skip = rows}); },
               "group_norm: a skip is added and no relu follows; expected one");
  expect_error([&] { batch_norm(rows, {}, {}, {}, 0.1, 1, {.relu = true, .skip = x}); },
               "batch_norm: skip is f32(1,4), x f32(3,4); expected equal ones");
}

}  // namespace
}  // namespace limbeck::testing

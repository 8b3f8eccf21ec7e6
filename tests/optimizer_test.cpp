// SPDX-License-Identifier: Apache-2.0
// Tests of the optimisers over named parameters.
#include <limbeck/nn/optimizer.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

NamedParameter parameter(const std::string& name, const std::vector<double>& values, bool decay) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  return {name, Variable(Tensor::from(values, shape), true), Layout::plain, {}, decay};
}

void give_gradient(const NamedParameter& p, const std::vector<double>& g) {
  p.value.backward(Tensor::from(g, p.value.shape()));
}

double value_of(const NamedParameter& p) { return p.value.value().item(); }

// Gradient 2, decay 0.1, momentum 0.5, lr 0.1 from 10: g = 3, m = 3, value 9.7;
// then g = 2.97, m = 1.5 + 2.97 = 4.47, value 9.253.
TEST(Optimizer, SgdByHand) {
  const NamedParameter w = parameter("w", {10}, true);
  give_gradient(w, {2});
  Sgd sgd({w}, {.momentum = 0.5, .parameters = {.weight_decay = 0.1}});
  sgd.step(0.1);
  EXPECT_NEAR(value_of(w), 9.7, 1e-14);
  sgd.step(0.1);
  EXPECT_NEAR(value_of(w), 9.253, 1e-14);
  EXPECT_EQ(sgd.steps(), 2);
}

// AdamW's first step moves by lr whatever the gradient's size (eps aside): 10 (1 - 0.1 0.5) - 0.1.
TEST(Optimizer, AdamwByHand) {
  const NamedParameter w = parameter("w", {10}, true);
  give_gradient(w, {1e3});
  Adamw adamw({w}, {.eps = 1e-12, .parameters = {.weight_decay = 0.5}});
  adamw.step(0.1);
  EXPECT_NEAR(value_of(w), 9.4, 1e-14);
  adamw.step(0.1);  // an unchanged gradient: the same move again, which needs the step's number
  EXPECT_NEAR(value_of(w), 9.4 * 0.95 - 0.1, 1e-13);
}

TEST(Optimizer, BiasesAreSparedFromDecayWhenAsked) {
  for (const bool decay_biases : {true, false}) {
    const NamedParameter w = parameter("w", {1}, true), b = parameter("b", {1}, false);
    give_gradient(w, {0});
    give_gradient(b, {0});
    const ParameterConfig config{.weight_decay = 0.5, .decay_biases = decay_biases};
    Sgd({w, b}, {.parameters = config}).step(1);
    EXPECT_EQ(value_of(w), 0.5);
    EXPECT_EQ(value_of(b), decay_biases ? 0.5 : 1);
    Adamw({w, b}, {.parameters = config}).step(1);
    EXPECT_EQ(value_of(b), decay_biases ? 0.25 : 1);
  }
}

TEST(Optimizer, ParametersWithoutAGradientStay) {
  const NamedParameter w = parameter("w", {1}, true), unused = parameter("u", {1}, true);
  give_gradient(w, {1});
  Sgd sgd({w, unused}, {.parameters = {.weight_decay = 0.5}});
  sgd.step(1);
  EXPECT_EQ(value_of(unused), 1);
  sgd.zero_grad();
  EXPECT_FALSE(w.value.grad().defined());
  const double before = value_of(w);
  sgd.step(1);
  EXPECT_EQ(value_of(w), before);
}

// (w - 3)^2 has its minimum at 3.
TEST(Optimizer, BothFindAMinimum) {
  const auto minimise = [](Optimizer& optimizer, const NamedParameter& w, double lr) {
    const Variable target(Tensor::full({1}, 3, DType::f64));
    for (int i = 0; i < 500; ++i) {
      optimizer.zero_grad();
      const Variable gap = sub(w.value, target);
      mul(gap, gap).backward();
      optimizer.step(lr);
    }
    return value_of(w);
  };
  const NamedParameter a = parameter("a", {-5}, true), b = parameter("b", {-5}, true);
  Sgd sgd({a}, {.momentum = 0.9, .nesterov = true});
  Adamw adamw({b}, {.parameters = {.weight_decay = 0}});
  EXPECT_NEAR(minimise(sgd, a, 0.01), 3, 1e-6);
  EXPECT_NEAR(minimise(adamw, b, 0.1), 3, 1e-3);
}

template <class Make>
void expect_resumes(const Make& make_optimizer) {
  const NamedParameter w = parameter("w", {1, 2}, true), copy = parameter("w", {1, 2}, true);
  const auto whole = make_optimizer(w), first = make_optimizer(copy);
  give_gradient(w, {0.3, -4});
  give_gradient(copy, {0.3, -4});
  for (int i = 0; i < 3; ++i) whole->step(0.1);
  first->step(0.1);
  const auto second = make_optimizer(copy);
  second->load_state(first->state());
  second->step(0.1);
  second->step(0.1);
  EXPECT_EQ(second->steps(), 3);
  EXPECT_TRUE(same_bytes(copy.value.value(), w.value.value()));
}

TEST(Optimizer, AResumedStateContinuesToTheBit) {
  expect_resumes([](const NamedParameter& p) {
    return std::make_unique<Sgd>(std::vector{p}, SgdConfig{.momentum = 0.9});
  });
  expect_resumes([](const NamedParameter& p) {
    return std::make_unique<Adamw>(std::vector{p}, AdamwConfig{});
  });
}

TEST(Optimizer, TheFirstGroupThatMatchesCounts) {
  const NamedParameter a = parameter("head.weight", {1}, true),
                       b = parameter("head.bias", {1}, false),
                       c = parameter("body.weight", {1}, true);
  for (const NamedParameter& p : {a, b, c}) give_gradient(p, {1});
  Sgd sgd({a, b, c}, {.parameters = {.weight_decay = 1,
                                     .decay_biases = false,
                                     .groups = {{.match = "head.bias", .weight_decay = 0.5},
                                                {.match = "head.*", .lr_scale = 0.1}}}});
  sgd.step(0.1);
  EXPECT_NEAR(value_of(a), 1 - 0.01 * 2, 1e-15);
  EXPECT_NEAR(value_of(b), 1 - 0.1 * 1.5, 1e-15);
  EXPECT_NEAR(value_of(c), 1 - 0.1 * 2, 1e-15);
}

TEST(Optimizer, RefusesGroupsThatCannotBeMeant) {
  const NamedParameter w = parameter("w", {1}, true);
  const auto make = [&](const ParameterGroup& group) {
    Sgd({w}, {.parameters = {.groups = {group}}});
  };
  expect_error([&] { make({.match = "("}); }, "parameter group '(' is no regular expression: ");
  expect_error([&] { make({.match = "v"}); }, "parameter group 'v' matches none of 1 parameters");
  expect_error([&] { make({.match = "w", .lr_scale = -1}); }, "lr_scale is -1; expected >= 0");
  expect_error([&] { make({.match = "w", .weight_decay = -2}); }, "weight_decay is -2");
  const auto scale = [&](const GradientConfig& g) { Sgd({w}, {.parameters = {.gradients = g}}); };
  expect_error([&] { scale({.max_norm = 0}); }, "optimizer: max_norm is 0; expected > 0");
  expect_error([&] { scale({.loss_scaling = LossScaling{}}); }, "optimizer: loss scaling of f64");
}

// Gradients (3,4) of two parameters, clipped from norm 5 to 1.
TEST(Optimizer, ClipsByTheNormOfAllGradients) {
  const NamedParameter a = parameter("a", {0}, true), b = parameter("b", {0}, true);
  give_gradient(a, {3});
  give_gradient(b, {4});
  Sgd sgd({a, b}, {.parameters = {.gradients = {.max_norm = 1}}});
  sgd.step(1);
  EXPECT_NEAR(value_of(a), -0.6, 1e-6);
  EXPECT_NEAR(value_of(b), -0.8, 1e-6);
  EXPECT_NEAR(sgd.gradient_norm().item(), 5, 1e-14);
  EXPECT_FALSE(sgd.loss_scale().defined());
}

NamedParameter half_parameter(DType dtype, double value) {
  return {"w", Variable(Tensor::full({1}, value).to(dtype), true)};
}

// Steps of 2^-12 vanish in bf16 next to 1; the master copy collects them: 2^-8 after 16 of them.
TEST(Optimizer, SixteenBitParametersKeepAMaster) {
  for (DType dtype : {DType::bf16, DType::f16}) {
    const NamedParameter w = half_parameter(dtype, 1);
    Sgd sgd({w}, {});
    for (int i = 0; i < 32; ++i) {
      sgd.zero_grad();
      w.value.backward(Tensor::full({1}, -1).to(dtype));
      sgd.step(0x1p-12);
    }
    EXPECT_EQ(value_of(w), 1 + 0x1p-7);
    EXPECT_EQ(sgd.state().back().first, "w.master");
    EXPECT_EQ(sgd.state().back().second.item(), 1 + 0x1p-7);
  }
}

// A gradient of 2^-30 is below all of f16; scaled by 2^20 it arrives. One that overflows is dropped
// and halves the scale.
TEST(Optimizer, LossScalingSavesSmallGradientsAndSurvivesBigOnes) {
  const NamedParameter w = half_parameter(DType::f16, 0);
  Sgd sgd({w}, {.parameters = {.gradients = {.loss_scaling = LossScaling{0x1p20}}}});
  const auto step = [&](double gradient) {
    sgd.zero_grad();
    Tensor scaled = sgd.loss_scale().to(DType::f64);
    w.value.backward(Tensor::full({1}, gradient * scaled.item()).to(DType::f16));
    sgd.step(0x1p20);
  };
  step(0x1p-30);
  EXPECT_EQ(value_of(w), -0x1p-10);
  EXPECT_EQ(sgd.gradient_norm().item(), 0x1p-30);
  step(1);  // 2^20 is infinite in f16
  EXPECT_EQ(value_of(w), -0x1p-10);
  EXPECT_EQ(sgd.loss_scale().item(), 0x1p19);
  EXPECT_EQ(sgd.state().size(), 4u);  // step, w.master, loss_scale, loss_scale_streak
}

TEST(Optimizer, StateNamesItsTensors) {
  std::string names;
  for (const auto& [name, tensor] : Adamw({parameter("fc.weight", {1}, true)}, {}).state())
    names += name + " ";
  EXPECT_EQ(names, "step fc.weight.moment1 fc.weight.moment2 ");
  EXPECT_EQ(Sgd({parameter("w", {1}, true)}, {}).state().size(), 1u);
}

TEST(Optimizer, AStateThatDoesNotFitChangesNothing) {
  const NamedParameter w = parameter("w", {1, 2}, true);
  Adamw adamw({w}, {});
  NamedTensors state = adamw.state();
  state[0].second = Tensor::full({1}, 9, DType::i64);
  state[1].second = Tensor::full({3}, 1);
  state[2].first = "v.moment2";
  expect_error([&] { adamw.load_state(state); },
               "optimizer state does not fit the model; 'w.moment1' is f32(3), expected f64(2); "
               "missing 'w.moment2' f64(2); unexpected 'v.moment2' f64(2)");
  EXPECT_EQ(adamw.steps(), 0);
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// The moving average of a model's weights.
#include <limbeck/nn/ema.h>

#include <stdexcept>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

NamedParameter parameter(double value, DType dtype = DType::f32) {
  return {"w", Variable(Tensor::full({1}, value).to(dtype), true)};
}
double value_of(const NamedParameter& p) { return p.value.value().item(); }
double average_of(const Ema& ema) { return ema.state()[1].second.item(); }

// Decays 1/10, 2/11, then 0.2 as asked for.
TEST(NnEma, YoungAveragesForgetFaster) {
  NamedParameter w = parameter(1);
  Ema ema({w}, 0.2);
  double expected = 1;
  for (const double decay : {0.1, 2.0 / 11, 0.2, 0.2}) {
    w.value.value().fill(value_of(w) + 1);
    ema.update();
    expected = decay * expected + (1 - decay) * value_of(w);
    EXPECT_NEAR(average_of(ema), expected, 1e-6);
  }
}

TEST(NnEma, SwapsThereAndBack) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    NamedParameter w = parameter(1, dtype);
    Ema ema({w}, 0.5);
    w.value.value().fill(11);
    ema.update();  // 0.1 + 0.9 * 11 = 10
    ema.swap();
    EXPECT_NEAR(value_of(w), 10, 1e-5);
    EXPECT_THROW(ema.update(), std::logic_error);
    ema.swap();
    EXPECT_EQ(value_of(w), 11);
    EXPECT_NEAR(average_of(ema), 10, 1e-5);
  }
}

TEST(NnEma, AResumedStateContinuesToTheBit) {
  NamedParameter a = parameter(1), b = parameter(1);
  Ema whole({a}, 0.9), first({b}, 0.9);
  for (NamedParameter* p : {&a, &b}) p->value.value().fill(3);
  whole.update();
  first.update();
  Ema second({b}, 0.9);
  second.load_state(first.state());
  whole.update();
  second.update();
  EXPECT_EQ(average_of(second), average_of(whole));
  EXPECT_EQ(second.state()[0].second.item(), 2);
}

TEST(NnEma, Rejections) {
  expect_error([] { Ema({parameter(1)}, 1); }, "Ema: decay is 1; expected 0 <= decay < 1");
  Ema ema({parameter(1)}, 0.9);
  expect_error([&] { ema.load_state({}); },
               "averages do not fit the model; missing 'step' i64(1); missing 'w.average' f32(1)");
}

}  // namespace
}  // namespace limbeck::testing

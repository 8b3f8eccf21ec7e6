// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/step_history.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class StepHistoryTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(StepHistoryTest);

// Steps 5, 6, 7 of a history of three go to 2, 0, 1; step 8 takes the place of step 5.
TEST_P(StepHistoryTest, KeepsTheLastSteps) {
  Tensor history = Tensor::full({3}, -1, DType::f32, device());
  const auto values = [&] { return to_doubles(history); };
  const auto record = [&](const StepNumber& step, double value) {
    record_step(history, step, Tensor::full({1}, value, DType::f32, device()));
  };
  record(5, 0.5);
  EXPECT_EQ(values(), (std::vector<double>{-1, -1, 0.5}));
  record(6, 0.6f);
  record(7, 0.75);
  EXPECT_EQ(values(), (std::vector<double>{0.6f, 0.75, 0.5}));
  record(8, 0.875);
  EXPECT_EQ(values(), (std::vector<double>{0.6f, 0.75, 0.875}));
}

// The number is read where the work runs, whatever it was when that was queued.
TEST_P(StepHistoryTest, ReadsTheStepOnTheDevice) {
  const Tensor at = Tensor::full({1}, 4, DType::f64).to(device());
  Tensor history = Tensor::zeros({3}, DType::f32, device());
  record_step(history, StepNumber::read(at.data<double>()),
              Tensor::full({1}, 2, DType::f32, device()));
  EXPECT_EQ(to_doubles(history), (std::vector<double>{0, 2, 0}));
}

TEST(StepHistory, Rejections) {
  Tensor history = Tensor::zeros({3}), value = Tensor::zeros({1}), none = Tensor::zeros({0});
  expect_error([&] { record_step(none, 0, value); },
               "record_step: history is f32(0); expected f32 (n) with n >= 1");
  expect_error([&] { record_step(history, 0, history); },
               "record_step: value is f32(3) on cpu; expected f32 (1) on cpu");
  expect_error([&] { record_step(history, -1, value); }, "record_step: step is -1; expected >= 0");
}

}  // namespace
}  // namespace limbeck::testing

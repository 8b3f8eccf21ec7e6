// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/cast.h>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class CastGradTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(CastGradTest);

TEST_P(CastGradTest, ValueAndGradientAreRoundedOnce) {
  if (dtype() == DType::f32) GTEST_SKIP() << "nothing to cast";
  const Variable x(make({1, -2.5, 1.0 / 3}, {3}), true);
  const Variable y = cast(x, DType::f32);
  EXPECT_EQ(y.value().dtype(), DType::f32);
  expect_close(y.value(), to_doubles(x.value()), 1e-7);  // f64 is rounded to f32
  y.backward(Tensor::from(std::vector<double>{1, 2, 0.1}, {3}).to(DType::f32).to(device()));
  EXPECT_EQ(x.grad().dtype(), dtype());
  const Tensor rounded = Tensor::from(std::vector<double>{1, 2, 0.1}, {3}).to(DType::f32);
  expect_close(x.grad(), to_doubles(rounded.to(dtype())), 0);
}

TEST(CastGrad, TheSameDtypeIsTheSameVariable) {
  const Variable x(Tensor::full({2}, 1), true);
  cast(x, DType::f32).backward(Tensor::full({2}, 3));
  EXPECT_EQ(to_doubles(x.grad()), (std::vector<double>{3, 3}));
}

TEST(CastGrad, RefusesIntegers) {
  expect_error([] { cast(Variable(Tensor::zeros({1}, DType::i32)), DType::f32); },
               "cast: i32 to f32; expected floating dtypes");
}

}  // namespace
}  // namespace limbeck::testing

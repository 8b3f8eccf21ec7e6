// SPDX-License-Identifier: Apache-2.0
// Tests of the tape: order, accumulation, freeing, and graphs that are deep.
#include <limbeck/autograd/variable.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/matmul.h>
#include <limbeck/core/pool.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class VariableTest : public DeviceTest {
 protected:
  Variable leaf(const std::vector<double>& values) const {
    return Variable(make(values, {static_cast<std::int64_t>(values.size())}), true);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(VariableTest);

/// An op y = x that notes its backward call in `log`.
Variable logged(const Variable& x, std::vector<std::string>& log, const std::string& name) {
  return record("logged", x.value().clone(), {x},
                [&log, name](const Tensor& dy, std::span<InputGrad> inputs) {
                  log.push_back(name);
                  inputs[0].give(dy);
                });
}

// L = sum(a b + a): dL/da = b + 1, dL/db = a.
TEST_P(VariableTest, SumOfProducts) {
  const Variable a = leaf({1, 2, 3}), b = leaf({4, 5, -6});
  sum(add(mul(a, b), a)).backward();
  expect_close(a.grad(), {5, 6, -5}, tolerance());
  expect_close(b.grad(), {1, 2, 3}, tolerance());
}

// x used twice by one op and once by another: d(x x + x)/dx = 2 x + 1.
TEST_P(VariableTest, AVariableUsedSeveralTimesSumsItsGradients) {
  const Variable x = leaf({3, -1});
  add(mul(x, x), x).backward(make({1, 10}, {2}));
  expect_close(x.grad(), {7, -10}, tolerance());
  EXPECT_EQ(to_doubles(x.value()), (std::vector<double>{3, -1}));
}

// scale's backward works in the gradient it is handed, which must not be the caller's.
TEST_P(VariableTest, AddOfAVariableToItselfAndTheCallersGradientStayApart) {
  const Variable x = leaf({3, -1});
  const Tensor start = make({1, 10}, {2});
  scale(add(x, x), 5).backward(start);
  expect_close(x.grad(), {10, 100}, tolerance());
  EXPECT_EQ(to_doubles(start), (std::vector<double>{1, 10}));
}

TEST_P(VariableTest, BackwardCallsAddUpUntilZeroGrad) {
  Variable x = leaf({1, 2});
  sum(scale(x, 3)).backward();
  sum(scale(x, 4)).backward();
  expect_close(x.grad(), {7, 7}, tolerance());
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
  sum(scale(x, 2)).backward();
  expect_close(x.grad(), {2, 2}, tolerance());
}

// The product kernel adds to the leaf's own buffer, so rows in two parts are one chain of sums.
TEST_P(VariableTest, AccumulationReusesTheLeafsBuffer) {
  Variable w(make({0, 0, 0, 0}, {2, 2}), true);
  const Tensor x = make(random_values(12), {6, 2});
  const auto run = [&](std::int64_t begin, std::int64_t end) {
    const Variable y = matmul(Variable(x.rows(begin, end)), Trans::no, w, Trans::no);
    y.backward(Tensor::full(y.shape(), 1, dtype(), device()));
  };
  run(0, 6);
  const Tensor whole = w.grad().clone();
  const void* buffer = w.grad().raw();
  w.zero_grad();
  run(0, 3);
  run(3, 6);
  EXPECT_EQ(w.grad().raw(), buffer);
  expect_close(w.grad(), to_doubles(whole), tolerance());
  if (!device().is_cuda() && dtype_size(dtype()) >= 4) {  // halves are rounded in between
    EXPECT_TRUE(same_bytes(w.grad(), whole));
  }
}

TEST(Variable, NodesRunNewestFirstWhateverTheOrderOfInputs) {
  std::vector<std::string> log;
  const Variable x(Tensor::full({1}, 1), true);
  const Variable a = logged(x, log, "a"), b = logged(x, log, "b"), c = logged(a, log, "c");
  add(add(b, c), a).backward();
  EXPECT_EQ(log, (std::vector<std::string>{"c", "b", "a"}));
  EXPECT_EQ(x.grad().item(), 3);
}

TEST(Variable, ALeafIsItsOwnGraph) {
  const Variable x(Tensor::full({2}, 5), true);
  x.backward(Tensor::full({2}, 3));
  x.backward(Tensor::full({2}, 4));
  EXPECT_EQ(to_doubles(x.grad()), (std::vector<double>{7, 7}));
}

TEST(Variable, OnlyLeavesThatAskedGetGradients) {
  const Variable x(Tensor::full({1}, 2), true), constant(Tensor::full({1}, 3));
  const Variable y = mul(x, constant);
  EXPECT_TRUE(y.requires_grad());
  EXPECT_FALSE(constant.requires_grad());
  EXPECT_FALSE(mul(constant, constant).requires_grad());
  y.backward();
  EXPECT_FALSE(constant.grad().defined());
  EXPECT_FALSE(y.grad().defined());
  EXPECT_EQ(x.grad().item(), 3);
}

TEST(Variable, NoGradRecordsNothingAndNests) {
  const Variable x(Tensor::full({1}, 2), true);
  {
    const NoGrad outer;
    {
      const NoGrad inner;
      EXPECT_FALSE(grad_enabled());
    }
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE(mul(x, x).requires_grad());
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_TRUE(mul(x, x).requires_grad());
}

TEST(Variable, BackwardFreesWhatTheGraphSaved) {
  const Variable x(Tensor::full({1 << 20}, 2), true);
  const std::size_t before = pool_stats(Device::cpu()).in_use;
  const Variable loss = sum(mul(scale(x, 2), scale(x, 3)));
  EXPECT_GT(pool_stats(Device::cpu()).in_use, before + (std::size_t{8} << 20));
  loss.backward();
  EXPECT_LT(pool_stats(Device::cpu()).in_use, before + (std::size_t{5} << 20));  // the gradient
  EXPECT_EQ(loss.value().item(), 6.0 * 4 * (1 << 20));
}

TEST(Variable, AGraphWithoutBackwardIsFreedWithItsLastHandle) {
  const Variable x(Tensor::full({1000}, 2), true);
  const std::size_t before = pool_stats(Device::cpu()).in_use;
  { const Variable y = mul(scale(x, 2), x); }
  EXPECT_EQ(pool_stats(Device::cpu()).in_use, before);
}

// A recursive walk or destructor would need some 100 bytes of stack per node: more than 8 MB here.
TEST(Variable, DeepGraphsNeedNoDeepStack) {
  std::vector<std::string> log;
  const Variable x(Tensor::full({1}, 1), true);
  const auto chain = [&] {
    Variable y = x;
    for (int i = 0; i < 300000; ++i)
      y = record("same", y.value(), {y},
                 [](const Tensor& dy, std::span<InputGrad> inputs) { inputs[0].give(dy); });
    return y;
  };
  { const Variable dropped = chain(); }
  chain().backward();
  EXPECT_EQ(x.grad().item(), 1);
}

TEST(Variable, ASharedPartOfAGraphOutlivesTheRest) {
  const Variable x(Tensor::full({1}, 3), true);
  Variable shared = mul(x, x);
  { const Variable dropped = scale(shared, 2); }
  scale(shared, 5).backward();
  EXPECT_EQ(x.grad().item(), 30);
}

TEST(Variable, Rejections) {
  const Variable x(Tensor::full({2}, 1), true);
  expect_error([] { Variable{Tensor()}; }, "Variable: value is undefined");
  expect_error([] { Variable(Tensor::zeros({1}, DType::i32), true); },
               "dtype is i32; expected a floating dtype");
  expect_error([] { Variable().value(); }, "value() of an undefined variable");
  expect_error([&] { x.backward(); }, "backward: shape (2); expected one element");
  expect_error([&] { x.backward(Tensor::full({3}, 1)); },
               "backward: gradient is f32(3) on cpu, value f32(2) on cpu");
  expect_error([&] { x.backward(Tensor::full({2}, 1, DType::f64)); }, "gradient is f64(2)");
  expect_error([] { Variable(Tensor::zeros({1})).backward(); }, "requires no gradient");
}

TEST(Variable, ASecondBackwardThroughAGraphIsRefusedAndAddsNothing) {
  const Variable x(Tensor::full({1}, 3), true);
  const Variable shared = mul(x, x);
  scale(shared, 2).backward();
  EXPECT_EQ(x.grad().item(), 12);
  expect_error([&] { add(shared, x).backward(); },
               "the graph through 'mul' was used by an earlier backward");
  EXPECT_EQ(x.grad().item(), 12);
}

}  // namespace
}  // namespace limbeck::testing

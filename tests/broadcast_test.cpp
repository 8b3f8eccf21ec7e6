// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/broadcast.h>

#include <limbeck/autograd/grad_check.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class BroadcastTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(BroadcastTest);

TEST_P(BroadcastTest, HandNumbers) {
  const Variable x(make({1, 2, 3, 4}, {2, 2}), true), row(make({10, 20}, {2}), true);
  const Variable y = add_row(x, row), z = repeat_row(row, 3);
  expect_close(y.value(), {11, 22, 13, 24}, 0);
  EXPECT_EQ(z.shape(), Shape({3, 2}));
  expect_close(z.value(), {10, 20, 10, 20, 10, 20}, 0);
  y.backward(make({1, 2, 3, 4}, {2, 2}));
  expect_close(x.grad(), {1, 2, 3, 4}, 0);
  expect_close(row.grad(), {4, 6}, 0);
  z.backward(make({1, 2, 3, 4, 5, 6}, {3, 2}));
  expect_close(row.grad(), {13, 18}, 0);
}

TEST(Broadcast, Gradient) {  // linear: exact but for rounding
  const Tensor x = Tensor::from(random_values(12), {3, 2, 2});
  const Tensor row = Tensor::from(random_values(4, 1, 2), {2, 2});
  const auto added = grad_check([](auto v) { return add_row(v[0], v[1]); }, {x, row});
  EXPECT_LT(added.error, 1e-8) << added.where;
  const auto repeated = grad_check([](auto v) { return repeat_row(v[0], 3); }, {row});
  EXPECT_LT(repeated.error, 1e-8) << repeated.where;
}

TEST(Broadcast, Rejections) {
  const Variable x(Tensor::zeros({3, 2})), row(Tensor::zeros({3}));
  expect_error([&] { add_row(x, row); },
               "add_row: row has shape (3), x (3,2); expected as many elements as a row of x has");
  expect_error([&] { repeat_row(row, -1); }, "repeat_row: -1 times (3)");
}

}  // namespace
}  // namespace limbeck::testing

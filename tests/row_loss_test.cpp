// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/row_loss.h>

#include <limbeck/kernels/cross_entropy.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

TEST(CountedRows, AreThoseWhoseLabelCounts) {
  const Tensor labels = Tensor::from(std::vector<std::int32_t>{3, kIgnoreIndex, 0}, {3});
  EXPECT_EQ(counted_rows(labels, 3), 2);
  EXPECT_EQ(counted_rows(Tensor(), 3), 3);
  EXPECT_EQ(counted_rows(labels.rows(1, 2), 1), 1) << "a mean over no rows divides by 1";
}

class RowLossTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(RowLossTest);

// (1 + 2 + 5) / 4 = 2; the gradient is dlogits times the upstream 3.
TEST_P(RowLossTest, IsTheSumOverTheCountAndScalesItsGradient) {
  const Variable logits(make({0, 0, 0}, {3, 1}), true);
  const DType loss_dtype = dtype() == DType::f64 ? DType::f64 : DType::f32;
  const Tensor rows = Tensor::from(std::vector<double>{1, 2, 5}, {3}).to(loss_dtype).to(device());
  const Variable loss = row_loss("test", logits, rows, make({0.5, -1, 2}, {3, 1}), 4);
  expect_close(loss.value(), {2}, 0);
  loss.backward(Tensor::full({1}, 3, loss_dtype, device()));
  expect_close(logits.grad(), {1.5, -3, 6}, 0);
}

}  // namespace
}  // namespace limbeck::testing

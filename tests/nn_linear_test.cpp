// SPDX-License-Identifier: Apache-2.0
// Linear against PyTorch's, on rows and on tokens, and with a weight that is another layer's.
#include <limbeck/nn/linear.h>

#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class LinearLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(LinearLayerTest);

TEST_P(LinearLayerTest, AgreesWithPyTorch) {
  Linear rows(7, 5, true, dtype(), device()), tokens(6, 4, false, dtype(), device());
  expect_parity(rows, Fixture("linear", "rows"), device(), dtype());
  expect_parity(tokens, Fixture("linear", "tokens"), device(), dtype());
}

TEST_P(LinearLayerTest, ATiedWeightCollectsBothGradients) {
  Linear owner(3, 3, false, dtype(), device());
  const Variable weight = owner.parameters()[0].value;
  Linear tied(weight);
  EXPECT_TRUE(tied.parameters().empty());
  Context context;
  const Variable x(make({1, 2, 3}, {1, 3}));
  owner.forward(x, context).backward(make({1, 0, 0}, {1, 3}));
  tied.forward(x, context).backward(make({0, 1, 0}, {1, 3}));
  expect_close(weight.grad(), {1, 2, 3, 1, 2, 3, 0, 0, 0}, tolerance());
}

TEST(Linear, RefusesInputsOfOtherWidths) {
  Linear layer(4, 2);
  expect_error([&] { layer.output_shape({2, 3, 5}); }, "input has shape (2,3,5); expected");
}

}  // namespace
}  // namespace limbeck::testing

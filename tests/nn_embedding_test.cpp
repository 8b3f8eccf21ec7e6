// SPDX-License-Identifier: Apache-2.0
// Embedding against PyTorch's.
#include <limbeck/nn/embedding.h>

#include <limbeck/nn/init.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class EmbeddingLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(EmbeddingLayerTest);

TEST_P(EmbeddingLayerTest, AgreesWithPyTorch) {
  Embedding tokens(9, 5, -1, dtype(), device()), padded(9, 4, 2, dtype(), device());
  expect_parity(tokens, Fixture("embedding", "tokens"), device(), dtype());
  expect_parity(padded, Fixture("embedding", "padded"), device(), dtype());
}

TEST(EmbeddingLayer, StartsNormalWithAZeroRowForPadding) {
  Embedding layer(400, 5, 1);
  initialize(layer, Init::torch_default, 1);
  const auto weight = to_doubles(layer.parameters()[0].value.value());
  double squares = 0;
  for (std::size_t i = 0; i < weight.size(); ++i) {
    EXPECT_EQ(weight[i] == 0, 5 <= i && i < 10) << i;
    squares += weight[i] * weight[i];
  }
  EXPECT_NEAR(squares / 2000, 1, 0.1);  // deviation of the variance: sqrt(2 / 2000) = 0.03
}

TEST(EmbeddingLayer, ShapesAndRejections) {
  Embedding layer(9, 5);
  EXPECT_EQ(layer.output_shape({2, 3}), Shape({2, 3, 5}));
  EXPECT_EQ(layer.describe(), "Embedding(9, 5)");
  expect_error([] { Embedding(0, 5); }, "Embedding: 0 rows of 5; expected both >= 1");
  expect_error([] { Embedding(9, 5, 9); }, "Embedding: padding_idx is 9; expected -1 to 8");
}

}  // namespace
}  // namespace limbeck::testing

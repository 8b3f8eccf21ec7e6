// SPDX-License-Identifier: Apache-2.0
// PositionEmbedding, ClassToken, Softmax and LogSoftmax against PyTorch's, and DropPath.
#include <limbeck/nn/tokens.h>

#include <limbeck/nn/dropout.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/softmax.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class TokenLayersTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(TokenLayersTest);

TEST_P(TokenLayersTest, AgreeWithPyTorch) {
  PositionEmbedding positions(4, 5, dtype(), device()), more(6, 5, dtype(), device());
  ClassToken token(5, dtype(), device());
  Softmax softmax;
  LogSoftmax log_softmax;
  expect_parity(positions, Fixture("tokens", "positions"), device(), dtype());
  expect_parity(more, Fixture("tokens", "fewer_positions"), device(), dtype());
  expect_parity(token, Fixture("tokens", "class_token"), device(), dtype());
  expect_parity(softmax, Fixture("tokens", "softmax"), device(), dtype());
  expect_parity(log_softmax, Fixture("tokens", "log_softmax"), device(), dtype());
}

TEST_P(TokenLayersTest, DropPathKeepsOrDropsWholeSamples) {
  DropPath layer(0.5);
  Context context = {.training = true, .seed = 3};
  const Variable x(Tensor::full({64, 3, 2}, 1, dtype(), device()), true);
  const Variable y = layer.forward(x, context);
  EXPECT_EQ(context.random_layer, 1u);
  const auto values = to_doubles(y.value());
  int dropped = 0;
  for (std::size_t n = 0; n < 64; ++n) {
    for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(values[6 * n + i], values[6 * n]) << n;
    EXPECT_TRUE(values[6 * n] == 0 || values[6 * n] == 2) << n;
    dropped += values[6 * n] == 0;
  }
  EXPECT_NEAR(dropped, 32, 20);  // five deviations of sqrt(64) / 2
  y.backward(Tensor::full({64, 3, 2}, 1, dtype(), device()));
  expect_close(x.grad(), values, 0);
  Context part = {.training = true, .seed = 3, .first_row = 40};
  const Variable rows = layer.forward(Variable(x.value().rows(40, 64)), part);
  EXPECT_TRUE(same_bytes(rows.value(), y.value().rows(40, 64)));
}

TEST(TokenLayers, DropPathIsTheIdentityWithoutTraining) {
  Context context;
  const Variable x(Tensor::from(random_values(6), {3, 2}));
  EXPECT_EQ(DropPath(0.5).forward(x, context).value().raw(), x.value().raw());
}

TEST(TokenLayers, StartSmallOrZeroAndDoNotDecay) {
  PositionEmbedding positions(100, 10);
  ClassToken token(4);
  initialize(positions, Init::torch_default, 1);
  initialize(token, Init::torch_default, 1);
  double squares = 0;
  for (double w : to_doubles(positions.parameters()[0].value.value())) squares += w * w;
  EXPECT_NEAR(squares / 1000 / 4e-4, 1, 0.2);  // deviation of a variance: sqrt(2 / 1000) = 0.045
  expect_close(token.parameters()[0].value.value(), {0, 0, 0, 0}, 0);
  EXPECT_FALSE(positions.parameters()[0].decay || token.parameters()[0].decay);
}

TEST(TokenLayers, ShapesAndRejections) {
  const PositionEmbedding positions(4, 5);
  const ClassToken token(5);
  EXPECT_EQ(token.output_shape({2, 4, 5}), Shape({2, 5, 5}));
  expect_error(
      [&] {
        positions.output_shape(Shape{2, 5, 5});
      },
      "PositionEmbedding(4, 5): input has shape (2,5,5); expected (N,1 to 4,5)");
  expect_error(
      [&] {
        token.output_shape(Shape{2, 4});
      },
      "ClassToken(5): input has shape (2,4); expected (N,T,5)");
  expect_error([] { Softmax().output_shape(Shape{2}); },
               "Softmax: input has shape (2); expected (...,V) with V >= 1");
  expect_error([] { LogSoftmax().output_shape(Shape{2, 0}); }, "LogSoftmax: input has shape (2,0)");
  expect_error([] { PositionEmbedding(0, 5); }, "PositionEmbedding: 0 positions of 5");
  expect_error([] { ClassToken(0); }, "ClassToken: 0 elements; expected >= 1");
  expect_error([] { DropPath(1); }, "DropPath: p is 1; expected 0 <= p < 1");
}

}  // namespace
}  // namespace limbeck::testing

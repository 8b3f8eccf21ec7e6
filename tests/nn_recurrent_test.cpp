// SPDX-License-Identifier: Apache-2.0
// RNN, LSTM and GRU against PyTorch's: stacked in both directions, with lengths, from states.
#include <limbeck/nn/recurrent.h>

#include <limbeck/nn/init.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

struct Kind {
  const char* name;
  RecurrentCell cell;
};
constexpr Kind kKinds[] = {{"tanh", RecurrentCell::tanh},
                           {"relu", RecurrentCell::relu},
                           {"lstm", RecurrentCell::lstm},
                           {"gru", RecurrentCell::gru}};

class RecurrentLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(RecurrentLayerTest);

TEST_P(RecurrentLayerTest, AgreesWithPyTorch) {
  LSTM layers(3, 2, {.layers = 2, .bidirectional = true}, dtype(), device());
  expect_parity(layers, Fixture("recurrent", "lstm_deep"), device(), dtype());
}

TEST_P(RecurrentLayerTest, LengthsAgreeWithPackedSequences) {
  for (const Kind& kind : kKinds) {
    RecurrentLayers layers(kind.cell, 3, 2, {.layers = 2, .bidirectional = true}, dtype(),
                           device());
    const Tensor lengths = Tensor::from(std::vector<std::int32_t>{4, 1, 3}, {3});
    expect_parity(layers, Fixture("recurrent", kind.name + std::string("_packed")), device(),
                  dtype(), {.lengths = lengths});
  }
}

TEST_P(RecurrentLayerTest, InitialStatesAgreeWithPyTorch) {
  for (const Kind& kind : kKinds) {
    const Fixture fixture("recurrent", kind.name + std::string("_states"));
    RecurrentLayers layer(kind.cell, 3, 2, {.bias = false}, dtype(), device());
    import_weights(layer, fixture.weights());
    const auto enter = [&](const char* name) { return fixture[name].to(dtype()).to(device()); };
    const Variable x(enter("x0"), true), h(enter("x1").reshape({2, 2}), true);
    InitialStates initial = {{h}, {}};
    if (kind.cell == RecurrentCell::lstm) initial.c = {Variable(enter("x2").reshape({2, 2}), true)};
    Context context;
    const RecurrentOutput out = layer.forward_from(initial, x, context);
    expect_close(out.y.value(), to_doubles(fixture["y"]), 1e-5, "y");
    // The last state is the last output.
    const Tensor last = out.y.value().to(Device::cpu()).reshape({2 * 3, 2});
    EXPECT_TRUE(same_bytes(out.h_n[0].to(Device::cpu()).rows(0, 1), last.rows(2, 3)));
    out.y.backward(enter("dy"));
    expect_close(x.grad(), to_doubles(fixture["dx0"]), 1e-4, "dx");
    expect_close(h.grad(), to_doubles(fixture["dx1"]), 1e-4, "dh0");
    if (!initial.c.empty())
      expect_close(initial.c[0].grad(), to_doubles(fixture["dx2"]), 1e-4, "dc0");
  }
}

TEST_P(RecurrentLayerTest, DropoutIsBetweenLayersInTraining) {
  const Tensor x = make(random_values(2 * 3 * 4), {2, 3, 4});
  const auto run = [&](std::int64_t layers, double p, bool training) {
    LSTM layer(4, 5, {.layers = layers, .dropout = p}, dtype(), device());
    initialize(layer, Init::torch_default, 1);
    Context context{.training = training, .seed = 7};
    return layer.forward(Variable(x), context).value();
  };
  EXPECT_TRUE(same_bytes(run(2, 0.5, false), run(2, 0, true)));
  EXPECT_TRUE(same_bytes(run(2, 0.5, true), run(2, 0.5, true)));
  EXPECT_FALSE(same_bytes(run(2, 0.5, true), run(2, 0, true)));
  EXPECT_TRUE(same_bytes(run(1, 0.5, true), run(1, 0, true)));
}

// PyTorch draws all of them from U(-1/sqrt(H), 1/sqrt(H)), whatever they are fed by.
TEST(RecurrentLayers, TorchDefaultBoundsByTheHiddenUnits) {
  GRU layer(400, 4);
  initialize(layer, Init::torch_default, 3);
  for (const NamedParameter& p : layer.parameters()) {
    double largest = 0;
    for (double v : to_doubles(p.value.value())) largest = std::max(largest, std::abs(v));
    EXPECT_LE(largest, 0.5) << p.name;
    EXPECT_GT(largest, 0.3) << p.name;
  }
}

TEST(RecurrentLayers, NamesAndShapes) {
  LSTM layer(3, 2, {.layers = 2, .bidirectional = true});
  const auto parameters = layer.parameters();
  ASSERT_EQ(parameters.size(), 16u);
  EXPECT_EQ(parameters[4].name, "weight_ih_l0_reverse");
  EXPECT_EQ(parameters[8].name, "weight_ih_l1");
  EXPECT_EQ(parameters[8].value.shape(), (Shape{8, 4}));
  EXPECT_EQ(parameters[15].name, "bias_hh_l1_reverse");
  EXPECT_EQ(layer.output_shape({5, 7, 3}), (Shape{5, 7, 4}));
  EXPECT_EQ(layer.describe(), "LSTM(3, 2, 2 layers, bidirectional)");
  EXPECT_EQ(RNN(3, 2, {}, true).describe(), "RNN(3, 2)");
}

TEST(RecurrentLayers, Rejections) {
  GRU layer(3, 2);
  Context context;
  expect_error([&] { layer.output_shape({2, 3}); }, "GRU(3, 2): input has shape (2,3); expected");
  const Variable x(Tensor::zeros({1, 1, 3})), h(Tensor::zeros({1, 2}));
  expect_error(
      [&] {
        layer.forward_from({{h, h}, {}}, x, context);
      },
      "2 initial states; expected 1");
  expect_error([] { LSTM(3, 2, {.layers = 0}); }, "LSTM: 3 in, 2 hidden, 0 layers; expected all");
}

}  // namespace
}  // namespace limbeck::testing

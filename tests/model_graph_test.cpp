// SPDX-License-Identifier: Apache-2.0
// Tests of models that are graphs.
#include <limbeck/nn/model_graph.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/autograd/grad_check.h>
#include <limbeck/core/pool.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/sequential.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

std::unique_ptr<Module> act(Activation activation) {
  return std::make_unique<ActivationLayer>(activation);
}

class ModelGraphTest : public DeviceTest {
 protected:
  std::unique_ptr<Module> linear(std::int64_t in, std::int64_t out) const {
    return std::make_unique<Linear>(in, out, true, dtype(), device());
  }
  /// block.fc1 -> block.tanh -> block.fc2, block.sum = fc2 + input, block.gate = sum * block.tanh.
  ModelGraph residual() const {
    ModelGraph g;
    g.add(linear(4, 4), "block.fc1");
    g.add(act(Activation::tanh), "block.tanh");
    g.add(linear(4, 4), "block.fc2");
    g.add(Join::add, {"block.fc2", "input"}, "block.sum");
    g.add(Join::mul, {"block.sum", "block.tanh"}, "block.gate");
    initialize(g, Init::torch_default, 1);
    return g;
  }
  Variable input(std::int64_t rows) const {
    return Variable(make(random_values(4 * rows), {rows, 4}), true);
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(ModelGraphTest);

// Against the same layers called by hand; fused or not, a rounding of the sum apart in 16 bits.
TEST_P(ModelGraphTest, IsItsLayersWiredByHand) {
  ModelGraph g = residual();
  Context context;
  const Variable x = input(3);
  const Variable t = g.layer(1)->forward(g.layer(0)->forward(x, context), context);
  const Variable expected = mul(add(g.layer(2)->forward(t, context), x), t);
  expect_close(g.forward(x, context).value(), to_doubles(expected.value()), 4 * tolerance());
}

TEST_P(ModelGraphTest, GradientsReachTheInputAndEveryParameter) {
  ModelGraph g = residual();
  Context context;
  const Variable x = input(3);
  g.forward(x, context).backward(make(random_values(12), {3, 4}));
  EXPECT_TRUE(x.grad().defined());
  for (const NamedParameter& p : g.parameters()) EXPECT_TRUE(p.value.grad().defined()) << p.name;
}

// The same bits: a chain is run as Sequential runs it, random layers counted alike.
TEST_P(ModelGraphTest, AChainIsASequential) {
  ModelGraph g;
  Sequential s;
  for (int i = 0; i < 2; ++i) {
    g.add(linear(4, 4));
    s.add(linear(4, 4));
    g.add(act(Activation::gelu));
    s.add(act(Activation::gelu));
    g.add(std::make_unique<Dropout>(0.5));
    s.add(std::make_unique<Dropout>(0.5));
  }
  initialize(g, Init::torch_default, 3);
  initialize(s, Init::torch_default, 3);
  Context a{.training = true}, b = a;
  const Variable x = input(3);
  EXPECT_TRUE(same_bytes(g.forward(x, a).value(), s.forward(x, b).value()));
  EXPECT_EQ(a.random_layer, b.random_layer);
}

TEST_P(ModelGraphTest, TapsAreValuesOfTheirNodes) {
  ModelGraph g = residual();
  Context context;
  const Variable x = input(2);
  std::vector<std::pair<std::size_t, Variable>> seen;
  const Variable y = g.forward(x, context, g.find("block\\.(fc1|sum|gate)"),
                               [&](std::size_t i, const Variable& v) { seen.emplace_back(i, v); });
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].first, 0u);  // before its activation, though the two run as one op otherwise
  EXPECT_TRUE(same_bytes(seen[0].second.value(), g.layer(0)->forward(x, context).value()));
  EXPECT_EQ(seen[1].first, 3u);
  EXPECT_TRUE(same_bytes(seen[2].second.value(), y.value()));
  expect_close(y.value(), to_doubles(g.forward(x, context).value()), 4 * tolerance());
}

TEST_P(ModelGraphTest, DropsWhatNobodyReadsAnyMore) {
  ModelGraph g;
  g.add(act(Activation::tanh), "skip");
  for (int i = 0; i < 6; ++i) g.add(act(Activation::sigmoid));
  g.add(Join::add, {"6", "skip"});
  g.add(act(Activation::tanh));
  const Variable x(make(random_values(1 << 10), {1, 1 << 10}));
  const NoGrad no_grad;
  Context context;
  const std::size_t before = pool_stats(device()).in_use;
  pool_reset_peak(device());
  g.forward(x, context);
  // The skipped value, the input and the output of one layer; slack for rounding up of blocks.
  EXPECT_LE(pool_stats(device()).peak - before, 3 * x.value().nbytes() + 1024);
}

// A value read twice by one node and one read by several: sums of gradients.
TEST(ModelGraph, GradientCheck) {
  ModelGraph g;
  g.add(act(Activation::tanh), "a");
  g.add(Join::mul, {"a", "a"}, "square");
  g.add(Join::add, {"square", "a", "input"}, "sum");
  const auto f = [&](std::span<const Variable> in) {
    Context context;
    return g.forward(in[0], context);
  };
  const GradCheckResult result =
      grad_check(f, {Tensor::from(random_values(6), {2, 3}).to(DType::f64)});
  EXPECT_LT(result.error, 1e-7) << result.where;  // a smooth function of moderate size
}

// x = (2,3): x + x = (4,6), times x = (8,18).
TEST(ModelGraph, HandNumbers) {
  ModelGraph g;
  g.add(Join::add, {"input", "input"}, "twice");
  g.add(Join::mul, {"twice", "input"});
  Context context;
  const Variable x(Tensor::from(std::vector<float>{2, 3}, {1, 2}));
  EXPECT_EQ(to_doubles(g.forward(x, context).value()), (std::vector<double>{8, 18}));
}

// x = (2,3), 2x = (4,6): (2,3,4,6), and dx = (1,2) + 2 (3,4) for dy = (1,2,3,4).
TEST(ModelGraph, ConcatByHand) {
  ModelGraph g;
  g.add(Join::add, {"input", "input"}, "twice");
  g.add(Join::concat, {"input", "twice"}, "both");
  EXPECT_EQ(g.output_shape({1, 2}), Shape({1, 4}));
  EXPECT_EQ(g.describe(1), "concat");
  Context context;
  const Variable x(Tensor::from(std::vector<float>{2, 3}, {1, 2}), true);
  const Variable y = g.forward(x, context);
  EXPECT_EQ(to_doubles(y.value()), (std::vector<double>{2, 3, 4, 6}));
  y.backward(Tensor::from(std::vector<float>{1, 2, 3, 4}, {1, 4}));
  EXPECT_EQ(to_doubles(x.grad()), (std::vector<double>{7, 10}));
  g.add(std::make_unique<Linear>(4, 3), "fc");
  g.add(Join::concat, {"fc", "both", "input"});
  EXPECT_EQ(g.output_shape({5, 2}), Shape({5, 9}));
}

TEST(ModelGraph, NamesShapesAndDescription) {
  ModelGraph g;
  g.add(std::make_unique<Linear>(4, 3), "stem.fc");
  g.add(act(Activation::relu));
  g.add(std::make_unique<Linear>(4, 3, false), "shortcut", "input");
  g.add(Join::add, {"1", "shortcut"}, "sum");
  std::string names;
  for (const NamedParameter& p : g.parameters()) names += p.name + " ";
  EXPECT_EQ(names, "stem.fc.weight stem.fc.bias shortcut.weight ");
  EXPECT_EQ(g.name(1), "1");
  EXPECT_EQ(g.output_shape({7, 4}), Shape({7, 3}));
  EXPECT_EQ(g.node_shapes({7, 4}).size(), 4u);
  EXPECT_EQ(g.describe(), "ModelGraph(Linear(4, 3), relu, Linear(4, 3), add)");
  EXPECT_EQ(g.find("s.*"), (std::vector<std::size_t>{0, 2, 3}));
}

TEST(ModelGraph, EmptyIsTheIdentity) {
  ModelGraph g;
  Context context;
  const Variable x(Tensor::full({2}, 1));
  EXPECT_EQ(g.forward(x, context).value().raw(), x.value().raw());
  EXPECT_EQ(g.output_shape({2}), Shape({2}));
}

TEST(ModelGraph, Rejections) {
  ModelGraph g;
  g.add(std::make_unique<Linear>(4, 3), "fc");
  expect_error([&] { g.add(act(Activation::relu), "r", "cf"); },
               "layer 'r' reads 'cf'; expected \"input\" or the name of an earlier layer");
  expect_error([&] { g.add(act(Activation::relu), "r", "r"); }, "layer 'r' reads 'r'");
  expect_error([&] { g.add(act(Activation::relu), "fc"); }, "two layers are named 'fc'");
  expect_error([&] { g.add(act(Activation::relu), "input"); }, "a layer is named 'input'");
  expect_error([&] { g.add(Join::mul, {"fc"}, "m"); },
               "layer 'm' (mul) reads 1 inputs; expected at least 2");
  g.add(Join::add, {"fc", "input"}, "sum");
  expect_error(
      [&] {
        g.output_shape({2, 4});
      },
      "layer 'sum': add: inputs have shapes (2,3) and (2,4); expected them equal");
  expect_error([&] { g.output_shape({2, 5}); }, "layer 'fc': Linear(4, 3): input has shape (2,5)");
  expect_error([&] { g.find("conv.*"); }, "no layer is named 'conv.*'");
  expect_error([&] { g.find("("); }, "'(' is no regular expression");
}

}  // namespace
}  // namespace limbeck::testing

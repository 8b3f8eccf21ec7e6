// SPDX-License-Identifier: Apache-2.0
// Norms in a graph that run with what follows them: the bits of layers that run one by one.
#include <limbeck/autograd/activation.h>
#include <limbeck/autograd/arithmetic.h>
#include <limbeck/core/trace.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/batch_norm.h>
#include <limbeck/nn/conv2d.h>
#include <limbeck/nn/group_norm.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/model_graph.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using Nodes = std::vector<std::size_t>;

constexpr std::int64_t kChannels = 4;

class FusedLayerTest : public DeviceTest {
 protected:
  std::unique_ptr<Module> norm(bool groups) const {
    if (groups) return std::make_unique<GroupNorm>(2, kChannels, 1e-5, true, dtype(), device());
    return std::make_unique<BatchNorm>(kChannels, BatchNormOptions{}, dtype(), device());
  }
  std::unique_ptr<Module> conv(std::int64_t in) const {
    return std::make_unique<Conv2d>(in, kChannels, 1, Conv2dOptions{}, false, dtype(), device());
  }
  static std::unique_ptr<Module> relu() {
    return std::make_unique<ActivationLayer>(Activation::relu);
  }

  /// A residual block whose shortcut has a norm too: nodes 3 to 4 and 6 to 8 are an op each.
  ModelGraph block(bool groups = false) const {
    ModelGraph g;
    g.add(conv(3), "sc");
    g.add(norm(groups), "sn");
    g.add(conv(3), "ac", "input");
    g.add(norm(groups), "an");
    g.add(relu(), "ar");
    g.add(conv(kChannels), "bc");
    g.add(norm(groups), "bn");
    g.add(Join::add, {"sn", "bn"}, "sum");
    g.add(relu(), "out");
    initialize(g, Init::torch_default, 1);
    for (const NamedParameter& p : g.parameters())
      if (p.value.shape().rank() == 1) {
        Variable parameter = p.value;
        parameter.value().copy_from(make(random_values(kChannels, 1, 7), {kChannels}));
      }
    return g;
  }
  Variable input() const {
    return Variable(make(random_values(2 * 3 * 3 * 3), {2, 3, 3, 3}), true);
  }

  /// The result, and after its backward all gradients and statistics.
  std::vector<Tensor> everything(ModelGraph& g, const Variable& x, const Variable& y) const {
    y.backward(make(random_values(y.shape().numel(), 1, 9), y.shape()));
    std::vector<Tensor> all = {y.value(), x.grad()};
    for (const NamedParameter& p : g.parameters()) all.push_back(p.value.grad());
    for (const NamedBuffer& b : g.buffers()) all.push_back(b.value);
    return all;
  }
  static Variable by_hand(ModelGraph& g, const Variable& x, Context& context) {
    const auto layer = [&](std::size_t i, const Variable& v) {
      return g.layer(i)->forward(v, context);
    };
    const Variable shortcut = layer(1, layer(0, x));
    const Variable a = layer(4, layer(3, layer(2, x)));
    return layer(8, add(shortcut, layer(6, layer(5, a))));
  }
  static void expect_same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(same_bytes(a[i], b[i])) << i;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(FusedLayerTest);

TEST_P(FusedLayerTest, ABlockHasTheBitsOfItsLayers) {
  for (const bool groups : {false, true})
    for (const Statistics statistics : {Statistics::follow, Statistics::running}) {
      Context context{.training = true, .statistics = statistics};
      ModelGraph fused = block(groups), single = block(groups);
      const Variable x = input(), z = input();
      expect_same(everything(fused, x, fused.forward(x, context)),
                  everything(single, z, by_hand(single, z, context)));
    }
}

TEST_P(FusedLayerTest, TapsInBetweenSeeTheirValue) {
  Context context{.training = true};
  ModelGraph tapped = block(), single = block();
  const Variable x = input(), z = input();
  Nodes seen;
  const Variable y = tapped.forward(x, context, {3, 7, 8},
                                    [&](std::size_t i, const Variable&) { seen.push_back(i); });
  EXPECT_EQ(seen, (Nodes{3, 7, 8}));
  expect_same(everything(tapped, x, y), everything(single, z, by_hand(single, z, context)));
}

TEST_P(FusedLayerTest, BlocksComputedAgainHaveTheSameBits) {
  for (const auto& [first, last] :
       {std::pair<std::size_t, std::size_t>{0, 9}, {3, 5}, {4, 6}, {5, 7}}) {
    Context context{.training = true};
    ModelGraph again = block(), single = block();
    again.recompute(first, last);
    const Variable x = input(), z = input();
    expect_same(everything(again, x, again.forward(x, context)),
                everything(single, z, by_hand(single, z, context)));
  }
}

TEST_P(FusedLayerTest, AnOpIsNamedAfterAllOfIt) {
  ModelGraph g = block();
  Context context;
  const Tracer tracer(device(), {.only = {TraceKind::node}});
  g.forward(input(), context);
  std::vector<std::string> names;
  for (const TraceEvent& event : tracer.events()) names.push_back(event.name);
  EXPECT_EQ(names, (std::vector<std::string>{"sc", "sn", "ac", "an+ar", "bc", "bn+sum+out"}));
}

class FusedLayer : public FusedLayerTest {};
INSTANTIATE_TEST_SUITE_P(Host, FusedLayer,
                         ::testing::Values(DeviceDtype{Device::cpu(), DType::f32, 2e-6}));

TEST_P(FusedLayer, OpsEndWhereOthersLook) {
  const ModelGraph g = block();
  EXPECT_EQ(g.op_end(3, {}), 4u);
  EXPECT_EQ(g.op_end(6, {}), 8u);
  EXPECT_EQ(g.op_end(1, {}), 1u) << "the sum is not just after the shortcut";
  EXPECT_EQ(g.op_end(6, {8}), 8u);
  EXPECT_EQ(g.op_end(6, {7}), 6u);
  EXPECT_EQ(g.op_end(6, {6}), 6u);
  ModelGraph again = block();
  again.recompute(4, 6);
  EXPECT_EQ(again.op_end(3, {}), 3u);
  EXPECT_EQ(again.op_end(4, {}), ModelGraph::kModelInput);
}

// Who else reads a norm or the sum, or another activation, keeps them apart.
TEST_P(FusedLayer, OnlyWhatNobodyElseReadsIsFused) {
  ModelGraph read_norm, read_sum, tanh_last, twice, three, tanh_after;
  for (ModelGraph* g : {&read_norm, &read_sum, &tanh_last, &twice, &three, &tanh_after})
    g->add(norm(false), "n");
  read_norm.add(Join::add, {"n", "input"}, "sum");
  read_norm.add(relu(), "r");
  read_norm.add(Join::mul, {"r", "n"});
  read_sum.add(Join::add, {"n", "input"}, "sum");
  read_sum.add(relu(), "r");
  read_sum.add(Join::mul, {"r", "sum"});
  tanh_last.add(Join::add, {"n", "input"}, "sum");
  tanh_last.add(std::make_unique<ActivationLayer>(Activation::tanh));
  twice.add(Join::add, {"n", "n"}, "sum");
  twice.add(relu());
  three.add(Join::add, {"n", "input", "input"}, "sum");
  three.add(relu());
  tanh_after.add(std::make_unique<ActivationLayer>(Activation::tanh));
  for (const ModelGraph* g : {&read_norm, &read_sum, &tanh_last, &twice, &three, &tanh_after})
    EXPECT_EQ(g->op_end(0, {}), 0u) << g->describe();
}

TEST_P(FusedLayer, WrongShapesOfASumAreNamed) {
  ModelGraph g;
  g.add(conv(3), "c");
  g.add(norm(false), "n");
  g.add(Join::add, {"n", "input"}, "sum");
  g.add(relu());
  Context context;
  expect_error([&] { g.forward(input(), context); },
               "frozen_batch_norm: skip is f32(2,3,3,3), x f32(2,3,3,4); expected equal ones");
}

}  // namespace
}  // namespace limbeck::testing

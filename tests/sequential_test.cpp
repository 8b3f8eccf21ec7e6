// SPDX-License-Identifier: Apache-2.0
// Tests of layers one after another.
#include <limbeck/nn/activation.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/sequential.h>
#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

class SequentialTest : public DeviceTest {
 protected:
  /// 6 -> 5 (act) -> dropout -> 3.
  Sequential network(Activation act) const {
    Sequential s;
    s.add(std::make_unique<Linear>(6, 5, true, dtype(), device()), "hidden");
    s.add(std::make_unique<ActivationLayer>(act));
    s.add(std::make_unique<Dropout>(0.5));
    s.add(std::make_unique<Linear>(5, 3, true, dtype(), device()), "head");
    initialize(s, Init::torch_default, 1);
    return s;
  }
};
LIMBECK_INSTANTIATE_DEVICE_TEST(SequentialTest);

// Fused or layer by layer: a rounding of the sum apart at most in bf16, the same otherwise.
TEST_P(SequentialTest, FusedEqualsLayerByLayer) {
  const Variable x(make(random_values(24), {4, 6}));
  for (const Activation act : {Activation::relu, Activation::gelu, Activation::tanh}) {
    Sequential s = network(act);
    Context fused{.training = true}, single{.training = true};
    Variable y = x;
    for (std::size_t i = 0; i < s.size(); ++i) y = s.layer(i).forward(y, single);
    expect_close(s.forward(x, fused).value(), to_doubles(y.value()), 2 * tolerance());
    EXPECT_EQ(fused.random_layer, 1u);
  }
}

TEST_P(SequentialTest, GradientsReachEveryParameter) {
  Sequential s = network(Activation::gelu);
  Context context;
  const Variable y = s.forward(Variable(make(random_values(24), {4, 6})), context);
  y.backward(make(random_values(12), {4, 3}));
  for (const NamedParameter& p : s.parameters()) {
    ASSERT_TRUE(p.value.grad().defined()) << p.name;
    for (const double g : to_doubles(p.value.grad())) EXPECT_NE(g, 0) << p.name;
  }
}

TEST(Sequential, NamesShapesAndDescription) {
  Sequential s;
  s.add(std::make_unique<Linear>(6, 5), "hidden");
  s.add(std::make_unique<ActivationLayer>(Activation::relu));
  s.add(std::make_unique<Linear>(5, 3, false));
  std::string names;
  for (const NamedParameter& p : s.parameters()) names += p.name + " ";
  EXPECT_EQ(names, "hidden.weight hidden.bias 2.weight ");
  EXPECT_EQ(s.output_shape({7, 6}), Shape({7, 3}));
  EXPECT_EQ(s.describe(), "Sequential(Linear(6, 5), relu, Linear(5, 3))");
  EXPECT_EQ(s.name(1), "1");
}

TEST(Sequential, NestsWithDottedNames) {
  auto inner = std::make_unique<Sequential>();
  inner->add(std::make_unique<Linear>(2, 2), "fc");
  Sequential outer;
  outer.add(std::move(inner), "block");
  EXPECT_EQ(outer.parameters()[0].name, "block.fc.weight");
}

TEST(Sequential, EmptyIsTheIdentity) {
  Sequential s;
  Context context;
  const Variable x(Tensor::full({2}, 1));
  EXPECT_EQ(s.forward(x, context).value().raw(), x.value().raw());
}

TEST(Sequential, Rejections) {
  Sequential s;
  s.add(std::make_unique<Linear>(2, 2), "fc");
  expect_error([&] { s.add(std::make_unique<Linear>(2, 2), "fc"); }, "two layers are named 'fc'");
  expect_error([&] { s.add(std::make_unique<Linear>(2, 2), "a.b"); }, "layer name 'a.b'");
}

}  // namespace
}  // namespace limbeck::testing

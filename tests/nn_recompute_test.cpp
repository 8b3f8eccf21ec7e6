// SPDX-License-Identifier: Apache-2.0
// Recompute: the same bits as its body, with fewer tensors kept.
#include <limbeck/nn/recompute.h>

#include <limbeck/autograd/arithmetic.h>
#include <limbeck/nn/activation.h>
#include <limbeck/nn/dropout.h>
#include <limbeck/nn/init.h>
#include <limbeck/nn/linear.h>
#include <limbeck/nn/sequential.h>
#include <limbeck/tests/same_bits.h>

namespace limbeck::testing {
namespace {

std::unique_ptr<Sequential> block(DType dtype, Device device) {
  auto layers = std::make_unique<Sequential>();
  layers->add(std::make_unique<Linear>(6, 8, true, dtype, device));
  layers->add(std::make_unique<ActivationLayer>(Activation::gelu));
  layers->add(std::make_unique<Dropout>(0.5));
  layers->add(std::make_unique<Linear>(8, 6, true, dtype, device));
  initialize(*layers, Init::torch_default, 1);
  return layers;
}

/// Output and gradients of two blocks in a row, a dropout between them.
std::vector<Tensor> pass(bool recompute, const Tensor& xv, bool x_needs_grad) {
  Sequential model;
  for (const char* name : {"a", "b"}) {
    std::unique_ptr<Module> layers = block(xv.dtype(), xv.device());
    if (recompute) layers = std::make_unique<Recompute>(std::move(layers));
    model.add(std::move(layers), name);
    model.add(std::make_unique<Dropout>(0.2));
  }
  Context context{.training = true, .seed = 3, .step = 2};
  const Variable x(xv, x_needs_grad);
  const Variable y = model.forward(x, context);
  EXPECT_EQ(context.random_layer, 4u);
  sum(mul(y, y)).backward();
  std::vector<Tensor> found = {y.value()};
  if (x_needs_grad) found.push_back(x.grad());
  for (const NamedParameter& p : model.parameters()) found.push_back(p.value.grad());
  return found;
}

class RecomputeTest : public DeviceTest {};
LIMBECK_INSTANTIATE_DEVICE_TEST(RecomputeTest);

TEST_P(RecomputeTest, SameBitsAsTheBodyItself) {
  const Tensor x = make(random_values(5 * 6), {5, 6});
  for (bool x_needs_grad : {true, false}) {
    const auto kept = pass(false, x, x_needs_grad), again = pass(true, x, x_needs_grad);
    ASSERT_EQ(kept.size(), again.size());
    for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(same_bytes(kept[i], again[i])) << i;
  }
}

TEST(Recompute, RunsItsBodyOnceWithoutBackwardAndOnceMoreWithIt) {
  struct Witness : Module {
    std::vector<Statistics>& seen;
    explicit Witness(std::vector<Statistics>& s) : seen(s) {}
    Variable forward(const Variable& x, Context& context) override {
      seen.push_back(context.statistics);
      return scale(x, 2);
    }
    Shape output_shape(const Shape& input) const override { return input; }
    std::string describe() const override { return "Witness"; }
  };
  std::vector<Statistics> seen;
  Recompute layer(std::make_unique<Witness>(seen));
  EXPECT_EQ(layer.describe(), "Recompute(Witness)");
  Context context{.training = true};
  const Variable x(Tensor::full({1}, 3), true);
  const Variable y = layer.forward(x, context);
  EXPECT_EQ(seen, std::vector{Statistics::follow});
  y.backward();
  EXPECT_EQ(seen, (std::vector{Statistics::follow, Statistics::batch}));
  EXPECT_EQ(x.grad().item(), 2);
}

TEST(Recompute, RefusesNoBody) {
  expect_error([] { Recompute(nullptr); }, "Recompute: no body");
}

}  // namespace
}  // namespace limbeck::testing

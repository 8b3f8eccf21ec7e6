// SPDX-License-Identifier: Apache-2.0
// LayerNorm and RMSNorm against PyTorch's.
#include <limbeck/nn/layer_norm.h>

#include <limbeck/nn/init.h>
#include <limbeck/tests/fixture.h>

namespace limbeck::testing {
namespace {

class LayerNormLayerTest : public DeviceTest {};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(LayerNormLayerTest);

TEST_P(LayerNormLayerTest, AgreesWithPyTorch) {
  LayerNorm rows(7, 1e-5, true, dtype(), device()), tokens(40, 1e-3, false, dtype(), device());
  RMSNorm rms(40, 1e-6, dtype(), device());
  expect_parity(rows, Fixture("layer_norm", "rows"), device(), dtype());
  expect_parity(tokens, Fixture("layer_norm", "tokens"), device(), dtype());
  expect_parity(rms, Fixture("layer_norm", "rms"), device(), dtype());
}

TEST(LayerNormLayer, StartsAsTheIdentityAndDoesNotDecay) {
  LayerNorm layer(3);
  RMSNorm rms(3, 1e-6);
  for (Module* module : {static_cast<Module*>(&layer), static_cast<Module*>(&rms)}) {
    initialize(*module, Init::torch_default, 1);
    for (const NamedParameter& p : module->parameters()) {
      expect_close(p.value.value(), std::vector<double>(3, p.name == "weight" ? 1 : 0), 0);
      EXPECT_FALSE(p.decay);
    }
  }
  EXPECT_EQ(layer.parameters().size(), 2u);
  EXPECT_EQ(rms.parameters().size(), 1u);
}

TEST(LayerNormLayer, RefusesInputsOfOtherWidths) {
  expect_error(
      [] {
        LayerNorm(4).output_shape({2, 3, 5});
      },
      "LayerNorm(4): input has shape (2,3,5); expected (...,4)");
  expect_error([] { RMSNorm(4, 1e-6).output_shape({4}); },
               "RMSNorm(4): input has shape (4); expected (...,4)");
  expect_error([] { LayerNorm(0); }, "LayerNorm: 0 features; expected >= 1");
  expect_error([] { RMSNorm(0, 1e-6); }, "RMSNorm: 0 features; expected >= 1");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Small instances of the convolutional families under tools/configs against PyTorch's: a pass in
// training, the statistics it moves, and one in evaluation with those.
#include <limbeck/nn/model.h>
#include <limbeck/tests/fixture.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

class ImageFamiliesTest : public DeviceTest {
 protected:
  /// `variables` stand in place of the file's.
  void expect_family(const std::string& file, const std::string& test_case, const Shape& input,
                     const char* variables) const {
    nlohmann::json model =
        read_json_file(LIMBECK_SOURCE_DIR "/tools/configs/models/" + file + ".json");
    model.erase("input");  // which has colours
    model["variables"].update(nlohmann::json::parse(variables));
    ModelSpec spec = read_model(model, file, input);
    for (LayerSpec& layer : spec.layers)  // the masks of dropout are nobody else's
      if (layer.type == "dropout") layer.options.set("p", 0.0);
    const auto module = build_model(spec, 0, dtype(), device());
    const Fixture fixture("image_families", test_case);
    expect_parity(*module, fixture, device(), dtype(), {.training = true});
    expect_moved(*module, fixture);
    expect_evaluation(*module, fixture);
  }

 private:
  void expect_moved(Module& module, const Fixture& fixture) const {
    for (const NamedBuffer& buffer : module.buffers())
      if (buffer.name.find("running") != std::string::npos)
        expect_close(buffer.value, to_doubles(fixture["after." + buffer.name]), 1e-5, buffer.name);
  }

  /// With expect_parity's tolerances.
  void expect_evaluation(Module& module, const Fixture& fixture) const {
    const auto enter = [&](const Tensor& t) { return t.to(dtype()).to(device()); };
    const Variable x(enter(swap_channels(fixture["x0"], true)), true);
    Context context;
    const Variable y = module.forward(x, context);
    expect_close(y.value(), to_doubles(fixture["eval.y"]), 1e-5, "y in evaluation");
    y.backward(enter(fixture["dy"]));
    const Tensor dx = x.grad().to(Device::cpu()).to(DType::f32);
    expect_close(swap_channels(dx, false), to_doubles(fixture["eval.dx0"]), 1e-4,
                 "dx in evaluation");
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(ImageFamiliesTest);

TEST_P(ImageFamiliesTest, ResNetWithPaddedShortcuts) {
  expect_family("resnet20", "resnet_a", {8, 8, 1},
                R"({"n": 1, "width": 2, "classes": 3, "projection": 0})");
}

TEST_P(ImageFamiliesTest, ResNetWithProjections) {
  expect_family("resnet20", "resnet_b", {8, 8, 1}, R"({"n": 2, "width": 2, "classes": 3})");
}

TEST_P(ImageFamiliesTest, WideResNet) {
  expect_family("wrn", "wrn", {8, 8, 1}, R"({"n": 2, "k": 2, "width": 1, "classes": 3})");
}

// As wide as a ResNet: the first stage then has no projection.
TEST_P(ImageFamiliesTest, WideResNetOfWidthOne) {
  expect_family("wrn", "wrn_1", {8, 8, 1},
                R"({"n": 1, "k": 1, "width": 2, "classes": 3, "projection": 0})");
}

TEST_P(ImageFamiliesTest, Vgg8) {
  expect_family("vgg8", "vgg8", {16, 16, 1}, R"({"width": 1, "classes": 3})");
}

TEST_P(ImageFamiliesTest, LeNet) {
  expect_family("lenet", "lenet", {16, 16, 1},
                R"({"conv1": 2, "conv2": 3, "fc1": 5, "fc2": 4, "classes": 3})");
}

TEST_P(ImageFamiliesTest, MobileNetV2) {
  expect_family("mobilenetv2", "mobilenetv2", {16, 16, 1},
                R"({"width": 1, "last": 6, "expand": 1, "n2": 1, "n3": 2, "n4": 1, "n5": 1, "n6": 1,
                    "classes": 3})");
}

}  // namespace
}  // namespace limbeck::testing

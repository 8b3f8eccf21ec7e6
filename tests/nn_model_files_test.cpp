// SPDX-License-Identifier: Apache-2.0
// The model files of images and of recurrent language models build and answer a batch of one.
#include <gtest/gtest.h>

#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

nlohmann::json model_file(const std::string& name) {
  return read_json_file(std::string(LIMBECK_SOURCE_DIR) + "/tools/configs/models/" + name);
}

TEST(ModelFiles, EachBuildsAndRuns) {
  for (const char* name : {"mlp.json", "lenet.json", "vgg8.json", "vgg13.json", "resnet20.json",
                           "resnet56.json", "resnet110.json", "mobilenetv2.json", "lstm_lm.json"}) {
    nlohmann::json file = model_file(name);
    // The deep ones only repeat more; the wide one is narrowed, for time.
    if (file["variables"].contains("n")) file["variables"]["n"] = 2;
    file["variables"]["width"] = 8;
    const ModelSpec spec = read_model_with_input(file, name);
    const auto model = build_model(spec, 1);
    const Shape& in = spec.input;
    const bool tokens = spec.layers[0].type == "embedding";
    const Shape batch = in.rank() == 3 ? Shape{1, in[0], in[1], in[2]} : Shape{1, in[0]};
    const Variable x(Tensor::zeros(batch, tokens ? DType::i32 : DType::f32));
    Context context;
    const NoGrad no_grad;
    EXPECT_EQ(model->forward(x, context).shape(), model->output_shape(batch)) << name;
  }
}

// Stem 432 + 32; stages (convolutions + norms) 13824 + 192, 50688 + 384 and 202752 + 768; the two
// 1x1 shortcuts with their norms 512 + 64 and 2048 + 128; classifier 640 + 10.
TEST(ModelFiles, ResNet20HasItsParameters) {
  const auto model = build_model(read_model_with_input(model_file("resnet20.json"), ""), 1);
  EXPECT_EQ(parameter_count(*model), 464 + 14016 + 51072 + 203520 + 2752 + 650);
  EXPECT_EQ(model->parameters()[0].name, "conv1.weight");
}

// The 3504872 of torchvision's mobilenet_v2, under its names.
TEST(ModelFiles, MobileNetV2HasItsParameters) {
  const auto model = build_model(read_model_with_input(model_file("mobilenetv2.json"), ""), 1);
  EXPECT_EQ(parameter_count(*model), 3504872);
  EXPECT_EQ(model->parameters()[3].name, "features.1.conv.0.0.weight");
}

}  // namespace
}  // namespace limbeck::testing

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

nlohmann::json with_variables(const std::string& name, const char* variables) {
  nlohmann::json file = model_file(name);
  file["variables"].update(nlohmann::json::parse(variables));
  return file;
}

TEST(ModelFiles, EachBuildsAndRuns) {
  for (const char* name :
       {"mlp.json", "lenet.json", "vgg8.json", "vgg13.json", "resnet20.json", "resnet56.json",
        "resnet110.json", "wrn.json", "mobilenetv2.json", "lstm_lm.json", "gru_lm.json",
        "lstm_classifier.json", "gru_classifier.json"}) {
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

struct Counted {
  const char* file;
  const char* variables;
  std::int64_t parameters;
};

// As published, which is in millions for most: ResNets of He et al. 2016 (table 6: 0.27, 0.85, 1.7)
// and the same with projections, wide ResNets of Zagoruyko and Komodakis 2016 (table 4: 2.2 and
// 0.6 for 40-2 and 40-1; 0.7 for 16-2), LeNet-5 as it is built today, the 3504872 of
// torchvision's mobilenet_v2.
TEST(ModelFiles, EachHasItsParameters) {
  for (const Counted& counted : {
           Counted{"lenet.json", "{}", 61706},
           Counted{"vgg8.json", R"({"classes": 100})", 3965028},
           Counted{"vgg13.json", R"({"classes": 100})", 9462180},
           Counted{"resnet20.json", "{}", 272474},
           Counted{"resnet20.json", R"({"projection": 0})", 269722},
           Counted{"resnet56.json", R"({"projection": 0})", 853018},
           Counted{"resnet110.json", R"({"projection": 0})", 1727962},
           Counted{"wrn.json", "{}", 2243546},
           Counted{"wrn.json", R"({"n": 2})", 691674},
           Counted{"wrn.json", R"({"k": 1, "projection": 0})", 563930},
           Counted{"mobilenetv2.json", "{}", 3504872},
       }) {
    const nlohmann::json file = with_variables(counted.file, counted.variables);
    const auto model = build_model(read_model_with_input(file, ""), 1);
    EXPECT_EQ(parameter_count(*model), counted.parameters) << counted.file << counted.variables;
  }
}

TEST(ModelFiles, MobileNetV2HasTheNamesOfTorchvision) {
  const auto model = build_model(read_model_with_input(model_file("mobilenetv2.json"), ""), 1);
  EXPECT_EQ(model->parameters()[3].name, "features.1.conv.0.0.weight");
  EXPECT_EQ(model->parameters().end()[-3].name, "features.18.1.bias");
}

}  // namespace
}  // namespace limbeck::testing

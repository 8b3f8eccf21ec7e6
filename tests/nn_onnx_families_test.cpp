// SPDX-License-Identifier: Apache-2.0
// A small instance of every family under tools/configs/models as ONNX.
#include <limbeck/tests/onnx_models.h>

namespace limbeck::testing {
namespace {

struct Family {
  const char* name;
  Shape input;  ///< of one training sample
  const char* variables;
  OnnxInput run;  ///< what it is run on, of other numbers of samples and tokens
};

class OnnxFamiliesTest : public OnnxTest {
 protected:
  void write_family(const Family& family) {
    nlohmann::json model = read_json_file(LIMBECK_SOURCE_DIR "/tools/configs/models/" +
                                          std::string(family.name) + ".json");
    model["input"] = std::vector<std::int64_t>(family.input.begin(), family.input.end());
    model["variables"].update(nlohmann::json::parse(family.variables));
    write(family.name, model, family.run);
  }
};

const Family kTransformers[] = {
    {"gpt2",
     {7},
     R"({"vocabulary": 13, "context": 8, "width": 16, "heads": 2, "blocks": 2})",
     {{3, 5}, 13}},
    {"llama",
     {7},
     R"({"vocabulary": 13, "width": 16, "hidden": 24, "heads": 4, "kv_heads": 2, "blocks": 2})",
     {{3, 5}, 13}},
    {"bert",
     {8},
     R"({"vocabulary": 13, "context": 8, "width": 16, "heads": 2, "hidden": 32, "blocks": 2,
         "classes": 3})",
     {{3, 6}, 13}},
    {"distilbert",
     {8},
     R"({"vocabulary": 13, "context": 8, "width": 16, "heads": 2, "hidden": 32, "blocks": 2,
         "classes": 3})",
     {{3, 6}, 13}},
    {"vit",
     {8, 8, 3},
     R"({"patch": 4, "tokens": 5, "width": 16, "heads": 2, "blocks": 2, "classes": 3})",
     {{3, 8, 8, 3}}}};

TEST_F(OnnxFamiliesTest, Transformers) {
  for (const Family& family : kTransformers) write_family(family);
  expect_same();
}

const char* const kRecurrent =
    R"({"vocabulary": 11, "width": 4, "hidden": 3, "depth": 2, "classes": 3})";

TEST_F(OnnxFamiliesTest, Recurrent) {
  for (const char* name : {"lstm_lm", "gru_lm", "lstm_classifier", "gru_classifier"})
    write_family({name, {6}, kRecurrent, {{3, 5}, 11}});
  expect_same();
}

TEST_F(OnnxFamiliesTest, Images) {
  const auto image = [](std::int64_t size) { return OnnxInput{{3, size, size, 1}}; };
  for (const char* name : {"resnet20", "resnet56", "resnet110"})
    write_family({name, {8, 8, 1}, R"({"n": 1, "width": 2, "classes": 3})", image(8)});
  write_family({"wrn", {8, 8, 1}, R"({"n": 2, "k": 2, "width": 1, "classes": 3})", image(8)});
  for (const char* name : {"vgg8", "vgg13"})
    write_family({name, {32, 32, 1}, R"({"width": 1, "classes": 3})", image(32)});
  write_family({"lenet",
                {16, 16, 1},
                R"({"conv1": 2, "conv2": 3, "fc1": 5, "fc2": 4, "classes": 3})",
                image(16)});
  write_family({"mobilenetv2",
                {16, 16, 1},
                R"({"width": 1, "last": 6, "expand": 1, "n2": 1, "n3": 2, "n4": 1, "n5": 1,
                    "n6": 1, "classes": 3})",
                image(16)});
  write_family({"mlp", {4, 4, 1}, R"({"width": 5, "classes": 3})", image(4)});
  expect_same();
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
// Small instances of the transformer families under tools/configs against their originals: weights
// under the names they are published with, outputs and gradients.
#include <limbeck/nn/model.h>
#include <limbeck/tests/fixture.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/name_map_json.h>

namespace limbeck::testing {
namespace {

const std::string kConfigs = LIMBECK_SOURCE_DIR "/tools/configs/";

struct Family {
  const char* name;
  Shape input;            ///< of one sample
  const char* variables;  ///< in place of the file's
};

class FamiliesTest : public DeviceTest {
 protected:
  void expect_family(const Family& family) {
    const std::string file = std::string(family.name) + ".json";
    nlohmann::json model = read_json_file(kConfigs + "models/" + file);
    model["variables"].update(nlohmann::json::parse(family.variables));
    const auto module =
        build_model(read_model(model, family.name, family.input), 0, dtype(), device());
    const auto names = read_name_map_file(kConfigs + "names/" + file);
    expect_parity(*module, Fixture("transformers_tiny", family.name).renamed(names), device(),
                  dtype());
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(FamiliesTest);

TEST_P(FamiliesTest, Gpt2) {
  expect_family(
      {"gpt2", {7}, R"({"tokens": 7, "vocabulary": 13, "context": 8, "width": 16, "heads": 2,
                                  "blocks": 2})"});
}

TEST_P(FamiliesTest, Llama) {
  expect_family(
      {"llama", {7}, R"({"tokens": 7, "vocabulary": 13, "width": 16, "hidden": 24, "heads": 4,
                                   "kv_heads": 2, "blocks": 2})"});
}

TEST_P(FamiliesTest, Bert) {
  expect_family(
      {"bert", {8}, R"({"tokens": 8, "vocabulary": 13, "context": 8, "width": 16, "heads": 2,
                                  "hidden": 32, "blocks": 2, "classes": 3})"});
}

TEST_P(FamiliesTest, DistilBert) {
  expect_family(
      {"distilbert", {8}, R"({"tokens": 8, "vocabulary": 13, "context": 8, "width": 16, "heads": 2,
                                        "hidden": 32, "blocks": 2, "classes": 3})"});
}

TEST_P(FamiliesTest, Vit) {
  expect_family({"vit", {8, 8, 3}, R"({"image": 8, "patch": 4, "tokens": 5, "width": 16, "heads": 2,
                                       "blocks": 2, "classes": 3})"});
}

}  // namespace
}  // namespace limbeck::testing

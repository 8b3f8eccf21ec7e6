// SPDX-License-Identifier: Apache-2.0
// Small instances of the recurrent families under tools/configs against PyTorch's.
#include <limbeck/nn/model.h>
#include <limbeck/tests/fixture.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

class RecurrentFamiliesTest : public DeviceTest {
 protected:
  void expect_family(const std::string& name, const Shape& input, const char* variables,
                     const Context& context = {}) const {
    SCOPED_TRACE(name);
    nlohmann::json model =
        read_json_file(LIMBECK_SOURCE_DIR "/tools/configs/models/" + name + ".json");
    model.erase("input");
    model["variables"].update(nlohmann::json::parse(variables));
    const auto module = build_model(read_model(model, name, input), 0, dtype(), device());
    expect_parity(*module, Fixture("recurrent_families", name), device(), dtype(), context);
  }
};
LIMBECK_INSTANTIATE_FULL_PRECISION_TEST(RecurrentFamiliesTest);

TEST_P(RecurrentFamiliesTest, LanguageModels) {
  for (const char* name : {"lstm_lm", "gru_lm"})
    expect_family(name, {5}, R"({"vocabulary": 11, "width": 4, "hidden": 3, "depth": 2})");
}

TEST_P(RecurrentFamiliesTest, ClassifiersOfTextsOfDifferentLengths) {
  Context context;
  context.lengths = Tensor::from(std::vector<std::int32_t>{6, 2, 4}, {3}).to(device());
  for (const char* name : {"lstm_classifier", "gru_classifier"})
    expect_family(name, {6},
                  R"({"vocabulary": 11, "width": 4, "hidden": 3, "depth": 2, "classes": 3})",
                  context);
}

}  // namespace
}  // namespace limbeck::testing

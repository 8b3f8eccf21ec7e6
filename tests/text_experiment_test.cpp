// SPDX-License-Identifier: Apache-2.0
// Run files about text: their keys, and what they may not ask of it.
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/run_data.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

json text_experiment() {
  return json::parse(R"({
    "name": "reader",
    "data": {"source": "t.txt", "format": "text", "context": 8},
    "seeds": [0],
    "student": {
      "model": {"layers": [{"type": "linear", "out": 4}]},
      "recipe": {"epochs": 1, "batch": 2,
                 "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0},
                 "schedule": {"type": "constant"}}}
  })");
}

void refuses(const std::string& assignment, const std::string& message) {
  json file = text_experiment();
  set_json_value(file, assignment);
  expect_error([&] { read_experiment(file); }, message);
}

TEST(TextExperiment, ReadsItsKeys) {
  const DataConfig text = read_experiment(text_experiment()).data;
  ASSERT_TRUE(text.text.has_value());
  EXPECT_EQ(text.source, "t.txt");
  EXPECT_EQ(text.text->context, 8);
  EXPECT_EQ(text.text->tokenizer, "characters");
  EXPECT_EQ(text.text->validation, 0.1);
  json file = text_experiment();
  file["data"] = {{"source", "f"},     {"format", "tokens"}, {"context", 4},
                  {"vocabulary", 300}, {"token_bytes", 4},   {"validation", 0.25}};
  const DataConfig tokens = read_experiment(file).data;
  EXPECT_EQ(tokens.text->format, "tokens");
  EXPECT_EQ(tokens.text->vocabulary, 300);
  EXPECT_EQ(tokens.text->token_bytes, 4);
  EXPECT_EQ(tokens.text->validation, 0.25);
}

TEST(TextExperiment, Rejections) {
  refuses(R"(data={"source":"t","format":"texts"})",
          "data.format: unknown format \"texts\"; did you mean \"text\"?");
  refuses("data.context=0", "data.context: is 0; expected at least 1");
  refuses("data.validation=1", "data.validation: is 1; expected between 0 and 1");
  refuses("data.scale=1", "data.scale: unknown key");
  refuses("data.vocabulary=9", "data.vocabulary: unknown key");
  refuses(R"(data={"source":"t","format":"text"})", "data.context: is missing");
  refuses(R"(data={"source":"t","format":"tokens","context":4})", "data.vocabulary: is missing");
  refuses(R"(data={"source":"t","format":"tokens","context":4,"vocabulary":9,"token_bytes":3})",
          "data.token_bytes: is 3; expected 2 or 4");
}

TEST(TextExperiment, IsCheckedAgainstTheText) {
  const TemporaryFolder folder;
  write_text(folder.file("t.txt"), "abcd abcd abcd abcd abcd abcd");
  json file = text_experiment();
  file["data"]["source"] = folder.file("t.txt");
  const RunData data = load_run_data(read_experiment(file).data);
  EXPECT_EQ(data.input(), (Shape{8}));
  EXPECT_EQ(data.output(), (Shape{8, 5}));
  EXPECT_EQ(data.name(), folder.file("t.txt") + "/train");
  EXPECT_NE(data.train_digest(), data.test_digest());
  expect_error([&] { check_against_data(read_experiment(file), data); },
               "arms.0.model: gives (1,4) per window; expected (1,8,5), logits of every token");
}

}  // namespace
}  // namespace limbeck::testing

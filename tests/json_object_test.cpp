// SPDX-License-Identifier: Apache-2.0
// Strict JSON: every complaint names the place.
#include <limbeck/tools/json_object.h>

#include <limbeck/tests/device_test.h>

namespace limbeck {
namespace {

using nlohmann::json;
using testing::expect_error;

TEST(ParseJson, NamesLineAndColumn) {
  expect_error([] { parse_json("{\n  \"a\": 1,\n}", "run.json"); },
               "run.json: parse error at line 3, column 1");
}

TEST(ParseJson, RefusesAKeyGivenTwice) {
  expect_error([] { parse_json(R"({"a": {"tau": 1, "b": {"tau": 1}, "tau": 2}})", "f"); },
               "f: key \"tau\" is given twice");
  EXPECT_NO_THROW(parse_json(R"([{"tau": 1}, {"tau": 2}])", "f"));
}

TEST(ReadJsonFile, NamesAMissingFile) {
  expect_error<IoError>([] { read_json_file("/nowhere/run.json"); },
                        "/nowhere/run.json: cannot be read");
  expect_error<IoError>([] { read_json_file("/tmp"); }, "/tmp: cannot be read");
}

TEST(JsonObject, NamesTheNearestKey) {
  const json value = {{"epoch", 3}};
  expect_error(
      [&] {
        JsonObject(value, "student.recipe", {"batch", "epochs", "optimizer"});
      },
      "student.recipe.epoch: unknown key; did you mean \"epochs\"?");
}

TEST(JsonObject, NamesAMissingKey) {
  const json value = json::object();
  const JsonObject object(value, "arms.1.distill", {"tau"});
  expect_error([&] { object.number("tau"); }, "arms.1.distill.tau: is missing; it has no default");
  EXPECT_EQ(object.number("tau", 4.0), 4.0);
}

TEST(JsonObject, NamesAWrongType) {
  const json value = {{"i", 1.5}, {"d", "4"}, {"b", 0}, {"s", 7}, {"a", {1, "x"}}, {"n", -1}};
  const JsonObject object(value, "", {"i", "d", "b", "s", "a", "n"});
  expect_error([&] { object.integer("i", 0); }, "i: is number 1.5; expected an integer");
  expect_error([&] { object.number("d"); }, "d: is string \"4\"; expected a number");
  expect_error([&] { object.flag("b"); }, "b: is number 0; expected true or false");
  expect_error([&] { object.text("s"); }, "s: is number 7; expected a string");
  expect_error([&] { object.integers("a", 0); }, "a.1: is string \"x\"; expected an integer");
  expect_error([&] { object.integers("s", 0); }, "s: is number 7; expected an array");
  expect_error([&] { object.integer("n", 0); }, "n: is -1; expected at least 0");
  expect_error([&] { JsonObject(value.at("a"), "a", {}); }, "a: is array; expected an object");
}

TEST(SetJsonValue, ReachesObjectsAndArrays) {
  json root = {{"arms", {{{"tau", 1}}, {{"tau", 2}}}}};
  set_json_value(root, "arms.1.tau=20");
  set_json_value(root, "student.recipe.epochs=3");
  set_json_value(root, "data.source=../mnist");
  EXPECT_EQ(root["arms"][1]["tau"], 20);
  EXPECT_EQ(root["student"]["recipe"]["epochs"], 3);
  EXPECT_EQ(root["data"]["source"], "../mnist");
}

TEST(SetJsonValue, RefusesAPathThatLeadsNowhere) {
  json root = {{"arms", {1, 2}}, {"name", "x"}};
  expect_error([&] { set_json_value(root, "arms.2.tau=1"); },
               "\"2\" leads nowhere; expected an index below 2");
  expect_error([&] { set_json_value(root, "name.tau=1"); }, "\"tau\" leads nowhere");
  expect_error([&] { set_json_value(root, "tau"); }, "--set tau: has no \"=\"");
}

}  // namespace
}  // namespace limbeck

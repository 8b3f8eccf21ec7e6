// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/name_map_json.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tools/json_object.h>

namespace limbeck::testing {
namespace {

std::vector<NameRule> read(const std::string& text) {
  return read_name_map(parse_json(text, "names"), "names");
}

TEST(NameMapJson, ReadsRules) {
  const auto rules = read(R"json({"rules": [
    {"match": "h\\.(\\d+)\\.c_fc\\.weight", "to": "block$1.fc.weight", "transpose": true},
    {"match": "query\\.(.*)", "to": "qkv.$1", "part": 0},
    {"match": ".*\\.masked_bias"}]})json");
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[0].match, R"(h\.(\d+)\.c_fc\.weight)");
  EXPECT_EQ(rules[0].to, "block$1.fc.weight");
  EXPECT_TRUE(rules[0].transpose);
  EXPECT_EQ(rules[0].part, -1);
  EXPECT_EQ(rules[1].part, 0);
  EXPECT_EQ(rules[2].to, "");
}

TEST(NameMapJson, Rejections) {
  expect_error([] { read("{}"); }, "names.rules: is missing");
  expect_error([] { read(R"({"rules": [{"to": "a"}]})"); }, "names.rules.0.match: is missing");
  expect_error([] { read(R"({"rules": [{"match": "a", "transposed": true}]})"); },
               "transposed: unknown key; did you mean \"transpose\"?");
  expect_error([] { read(R"({"rules": [{"match": "a", "part": 1}]})"); },
               "names.rules.0: drops what it matches, yet has transpose or part");
  EXPECT_TRUE(read_name_map_file("").empty());
}

}  // namespace
}  // namespace limbeck::testing

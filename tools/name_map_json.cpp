// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/name_map_json.h>

#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

NameRule read_rule(const json& value, const std::string& path) {
  const JsonObject object(value, path, {"match", "to", "transpose", "part"});
  NameRule rule;
  rule.match = object.text("match");
  rule.to = object.text("to", "");
  rule.transpose = object.flag("transpose", false);
  rule.part = static_cast<int>(object.integer("part", 0, -1));
  LIMBECK_CHECK(!rule.to.empty() || (!rule.transpose && rule.part < 0), path,
                ": drops what it matches, yet has transpose or part; expected a name under \"to\"");
  return rule;
}

}  // namespace

std::vector<NameRule> read_name_map(const json& value, const std::string& path) {
  const JsonObject object(value, path, {"rules"});
  object.at("rules");
  std::vector<NameRule> rules;
  for (const auto& [rule, rule_path] : object.elements("rules"))
    rules.push_back(read_rule(rule, rule_path));
  return rules;
}

std::vector<NameRule> read_name_map_file(const std::string& file) {
  if (file.empty()) return {};
  return read_name_map(read_json_file(file), file);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// The "distill" of an arm: what is read, and each way it can be wrong.
#include <limbeck/tools/distill_json.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/technique_json.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

json forward() { return {{"mode", "forward"}, {"tau", 4}, {"kd_weight", 0.9}, {"ce_weight", 0.1}}; }
json mutual() { return {{"mode", "mutual"}, {"tau", 4}, {"kd_weight", 1}, {"ce_weight", 1}}; }
json feature(const std::string& technique) {
  return {{"technique", technique}, {"student", "a"}, {"teacher", "b"}, {"weight", 2}};
}

void refuses(const json& value, const std::string& part) {
  expect_error([&] { read_distill(value, "distill"); }, part);
}

json with(json value, const std::string& key, const json& of) {
  value[key] = of;
  return value;
}

TEST(DistillJson, ForwardIsFromTheTeacherUnlessItSaysOtherwise) {
  const DistillConfig config = read_distill(forward(), "distill");
  EXPECT_EQ(config.mode, Mode::forward);
  EXPECT_EQ(config.source, "teacher");
  EXPECT_EQ(config.logits.tau, 4);
  EXPECT_EQ(config.source_state, ModelState::frozen_eval);
  EXPECT_EQ(read_distill(with(forward(), "source", "big"), "").source, "big");
}

TEST(DistillJson, ReverseAndMutual) {
  json reverse = with(with(forward(), "mode", "reverse"), "source", "small");
  reverse["grow"] = true;
  reverse["schedule"] = {{"fall", 0}, {"end", 0.6}};
  const DistillConfig r = read_distill(reverse, "distill");
  EXPECT_TRUE(r.grow);
  EXPECT_EQ(r.schedule.end, 0.6);
  json both = mutual();
  both["order"] = "alternate";
  both["students"] = 2;
  both["to_teacher"] = 0;
  const DistillConfig m = read_distill(both, "distill");
  EXPECT_EQ(m.order, UpdateOrder::alternate);
  EXPECT_EQ(m.students, 2u);
  EXPECT_EQ(m.to_teacher, 0);
  EXPECT_TRUE(m.source.empty());
  EXPECT_TRUE(read_distill(with(mutual(), "target", "gate"), "").gated);
  EXPECT_EQ(read_distill(with(mutual(), "target", "min_logit"), "").ensemble->kind,
            EnsembleKind::min_logit);
}

TEST(DistillJson, EveryTechniqueCanBeNamed) {
  for (const Technique& technique : techniques()) {
    const json value =
        with(forward(), "features", json::array({feature(std::string(technique.name))}));
    const DistillConfig config = read_distill(value, "distill");
    ASSERT_EQ(config.features.size(), 1u);
    EXPECT_EQ(config.features[0].technique, technique.name);
    EXPECT_EQ(config.features[0].weight, 2);
    EXPECT_EQ(config.features[0].standardise, technique.standardise);
    if (technique.name == "channel_moments" || technique.name == "attention_transfer") continue;
    const auto loss = config.features[0].make({{6}, {6}, 1});
    EXPECT_FALSE(loss->describe().empty());
  }
}

TEST(DistillJson, RefusesWhatItDoesNotKnow) {
  refuses(with(forward(), "mode", "sideways"), "distill.mode: unknown mode \"sideways\"");
  refuses(with(forward(), "order", "alternate"), "distill.order: is of mode mutual alone");
  refuses(with(mutual(), "source", "x"), "distill.source: is of mode forward and reverse alone");
  refuses(with(forward(), "grow", true), "distill.grow: is of mode reverse alone");
  refuses(with(forward(), "mode", "reverse"), "distill.source: is missing; it has no default");
  refuses(with(mutual(), "ce_weight", 0), "distill.ce_weight: is 0; expected > 0");
  refuses(with(forward(), "schedule", {{"begin", 2}}), "distill.schedule: ");
  refuses(with(forward(), "features", json::array({feature("gaussian")})),
          "distill.features.0.technique: unknown technique \"gaussian\"; did you mean");
  json wrong = feature("polynomial");
  wrong["matrix"] = "srht";
  refuses(with(forward(), "features", json::array({wrong})),
          "distill.features.0.matrix: unknown key");
  json virtual_features = with(forward(), "virtual_teacher", json::object());
  virtual_features["features"] = json::array({feature("pkt")});
  refuses(virtual_features, "expected neither source nor features");
  json gate = with(mutual(), "target", "gate");
  gate["order"] = "alternate";
  refuses(gate, "a gate is trained with all models at once");
}

}  // namespace
}  // namespace limbeck::testing

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_drawing.h>

#include <sstream>

#include <limbeck/tests/device_test.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

const char* kRunFile = R"({
  "name": "small",
  "data": {"source": "synthetic-digits"},
  "seeds": [0],
  "teacher": {
    "model": {"layers": [{"type": "linear", "name": "fc1", "out": 12}, {"type": "relu", "name": "act"},
                         {"type": "linear", "name": "fc2", "out": 6},
                         {"type": "linear", "name": "fc3", "out": 10}]},
    "recipe": {"epochs": 1, "batch": 32,
               "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0},
               "schedule": {"type": "constant"}}},
  "student": {
    "model": {"layers": [{"type": "linear", "name": "hidden", "out": 8}, {"type": "tanh", "name": "t"},
                         {"type": "linear", "name": "out", "out": 10}]},
    "recipe": {"epochs": 1, "batch": 32, "augment": {"crop": 1},
               "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0},
               "schedule": {"type": "constant"}}},
  "arms": [
    {"name": "hint", "distill": {"mode": "forward", "tau": 4, "kd_weight": 1, "ce_weight": 0,
     "features": [{"technique": "hint", "student": "t", "teacher": "fc2", "weight": 1}]}},
    {"name": "both", "distill": {"mode": "mutual", "tau": 4, "kd_weight": 1, "ce_weight": 1}},
    {"name": "labels"}]
})";

/// The words of the line that begins with `first`.
std::vector<std::string> line(const std::string& text, const std::string& first) {
  std::istringstream lines(text);
  for (std::string one; std::getline(lines, one);) {
    std::istringstream in(one);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (!words.empty() && words[0] == first) return words;
  }
  ADD_FAILURE() << "no line " << first << " in\n" << text;
  return {};
}

std::string drawn(const json& file, std::size_t arm) {
  const Experiment experiment = read_experiment(file);
  return draw_arm(experiment, experiment.arms[arm], {28, 28, 1});
}

using Words = std::vector<std::string>;

TEST(ArmDrawing, ForwardShowsTapsJoinedLayersAndWhatIsFreed) {
  const std::string text = drawn(json::parse(kRunFile), 0);
  EXPECT_EQ(text.rfind("a step of hint: student learns from teacher: logits (tau 4), hint "
                       "(student's t, teacher's fc2)\n",
                       0),
            0u)
      << text;
  EXPECT_EQ(line(text, "hidden+t"),
            (Words{"hidden+t", "Linear(784,", "8)", "+", "tanh", "input", "(8)", "for", "the",
                   "loss", "teacher/fc1", "its", "backward"}))
      << text;
  EXPECT_EQ(line(text, "fc1+act"), (Words{"fc1+act", "Linear(784,", "12)", "+", "relu", "input",
                                          "(12)", "student/hidden", "fc2"}))
      << text;
  EXPECT_EQ(line(text, "fc2"),
            (Words{"fc2", "Linear(12,", "6)", "act", "(6)", "for", "its", "code", "fc3"}));
  EXPECT_EQ(line(text, "fc3"), (Words{"fc3", "Linear(6,", "10)", "fc2", "(10)", "the", "loss"}));
}

// 8 + 12 numbers of 60000 rows are more than a core's cache holds; of the same in parts, less.
TEST(ArmDrawing, LargeResultsAreJoinedOnAGpuOnly) {
  json file = json::parse(kRunFile);
  file["student"]["recipe"]["batch"] = 60000;
  EXPECT_NE(drawn(file, 0).find("teacher/fc1 on a GPU"), std::string::npos);
  file["student"]["recipe"]["accumulate"] = 2;
  EXPECT_EQ(drawn(file, 0).find("on a GPU"), std::string::npos);
}

TEST(ArmDrawing, ATappedLinearRunsWithoutItsActivation) {
  json file = json::parse(kRunFile);
  file["arms"][0]["distill"]["features"][0]["student"] = "hidden";
  const std::string text = drawn(file, 0);
  EXPECT_EQ(line(text, "hidden"), (Words{"hidden", "Linear(784,", "8)", "input", "(8)", "for",
                                         "the", "loss", "teacher/fc1", "its", "backward"}));
  EXPECT_EQ(line(text, "t"), (Words{"t", "tanh", "hidden", "(8)", "its", "backward"}));
}

TEST(ArmDrawing, MutualDrawsBothWithTapes) {
  const std::string text = drawn(json::parse(kRunFile), 1);
  EXPECT_NE(text.find("all learn from each other: logits (tau 4)"), std::string::npos) << text;
  for (const char* op : {"hidden+t", "out", "fc1+act", "fc3"})
    EXPECT_EQ(line(text, op).back(), "backward");
  EXPECT_NE(text.find("student1/hidden"), std::string::npos) << text;
}

TEST(ArmDrawing, ATeacherThatIsAskedBeforeIsSaidToBe) {
  json file = json::parse(kRunFile);
  file["student"]["recipe"].erase("augment");
  const std::string text = drawn(file, 0);
  EXPECT_NE(text.find("teacher runs before the first step, as samples always look the same\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("fc3"), std::string::npos) << text;
}

TEST(ArmDrawing, Rejects) {
  json file = json::parse(kRunFile);
  expect_error([&] { drawn(file, 2); },
               R"(arm "labels" learns from no model; expected one that does)");
  file["arms"][0]["distill"]["features"][0]["student"] = "none";
  expect_error([&] { drawn(file, 0); }, R"(model "student" has no layer "none")");
}

}  // namespace
}  // namespace limbeck::testing

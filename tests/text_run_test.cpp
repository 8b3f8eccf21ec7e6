// SPDX-License-Identifier: Apache-2.0
// A language model's student from run file to report, as a user meets it.
#include <limbeck/tools/cli.h>

#include <cmath>
#include <sstream>

#include <nlohmann/json.hpp>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/json_object.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

struct Outcome {
  int code;
  std::string out, err;
};

Outcome limbeck(const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  const int code = run_cli(arguments, {out}, err);
  return {code, out.str(), err.str()};
}

/// Nine characters; what follows is mostly certain.
std::string rhyme() {
  std::string text;
  for (int i = 0; i < 40; ++i) text += i % 3 ? "abcde\n" : "fab g\n";
  return text;
}

class TextRun : public ::testing::Test {
 protected:
  TextRun() {
    write_text(folder_.file("input.txt"), rhyme());
    json config = json::parse(R"({
      "name": "rhyme",
      "data": {"source": "-", "format": "text", "context": 8},
      "seeds": [0],
      "teacher": {
        "model": {"layers": [{"type": "embedding", "num": 9, "dim": 8},
                             {"type": "lstm", "hidden": 16}, {"type": "linear", "out": 9}]},
        "recipe": {"epochs": 3, "batch": 8,
                   "optimizer": {"type": "adamw", "lr": 0.02, "weight_decay": 0},
                   "schedule": {"type": "constant"}}},
      "student": {
        "model": {"layers": [{"type": "embedding", "num": 9, "dim": 4},
                             {"type": "lstm", "hidden": 6}, {"type": "linear", "out": 9}]},
        "recipe": {"epochs": 3, "batch": 8,
                   "optimizer": {"type": "adamw", "lr": 0.02, "weight_decay": 0},
                   "schedule": {"type": "constant"}}},
      "arms": [{"name": "hard"},
               {"name": "soft", "distill": {"mode": "forward", "tau": 2, "kd_weight": 0.9,
                                            "ce_weight": 0.1}}],
      "report_every": 4})");
    write_text(file("run.json"), config.dump());
  }
  std::string file(const std::string& name) const { return folder_.file(name); }
  Outcome distill(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"distill",         file("run.json"), "--data",
                                          file("input.txt"), "--device",       "cpu",
                                          "--out",           file(out)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return limbeck(arguments);
  }
  json results(const std::string& out) const {
    return json::parse(read_text(file(out + "/run.json"))).at("results");
  }
  const TemporaryFolder folder_;
};

TEST_F(TextRun, DistilsAndReportsBitsPerCharacter) {
  const Outcome outcome = distill("out");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"test bits/character", "teacher", "hard", "soft", "agreement"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in\n" << outcome.out;
  const json list = results("out");
  ASSERT_EQ(list.size(), 3u);
  for (const json& result : list) {
    EXPECT_EQ(result.at("test").at("samples"), 23);  // the last tenth of 240, less its first
    EXPECT_EQ(result.at("bits_per_character"), result.at("bits_per_token"));
    EXPECT_GT(result.at("bits_per_token").get<double>(), 0);
    EXPECT_LT(result.at("bits_per_token").get<double>(), std::log2(9.0));
  }
  EXPECT_FALSE(list[0].contains("fidelity"));
  EXPECT_TRUE(list[2].contains("fidelity"));
}

TEST_F(TextRun, IsTheSameForAnyThreads) {
  ASSERT_EQ(distill("one", {"--threads", "1"}).code, 0);
  ASSERT_EQ(distill("two", {"--threads", "2"}).code, 0);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(results("one")[i].at("digest"), results("two")[i].at("digest"));
}

TEST_F(TextRun, SaysInOneLineWhatDoesNotFit) {
  const Outcome outcome = distill("bad", {"--set", "student.model.layers.2.out=5"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.err.find("arms.0.model: gives (1,8,5) per window; expected (1,8,9)"),
            std::string::npos)
      << outcome.err;
}

}  // namespace
}  // namespace limbeck::testing

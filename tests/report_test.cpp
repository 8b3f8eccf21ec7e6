// SPDX-License-Identifier: Apache-2.0
// The table at the end of a run.
#include <limbeck/tools/report.h>

#include <gtest/gtest.h>

#include <limbeck/tools/progress.h>

namespace limbeck {
namespace {

Result result(const std::string& model, std::uint64_t seed, std::int64_t errors) {
  Result r;
  r.model = model;
  r.seed = seed;
  r.parameters = 50;
  r.steps = 10;
  r.ms_per_step = 1.5;
  r.test = {1000, errors, 0.99, 0.1, 0.0123};
  return r;
}

TEST(Report, MeanAndDeviationOverSeeds) {
  Experiment experiment;
  experiment.seeds = {0, 1, 2};
  experiment.arms.resize(1);
  experiment.arms[0].name = "hard";
  experiment.arms[0].reference.errors = 146;
  // 10, 20, 30: mean 20, sample deviation sqrt((100 + 0 + 100) / 2) = 10; of 1000: 2 % and 1 %.
  const std::string text = format_report(
      experiment, {result("hard", 0, 10), result("hard", 1, 20), result("hard", 2, 30)});
  EXPECT_NE(text.find("20.0 ± 10.0"), std::string::npos) << text;
  EXPECT_NE(text.find("2.00 ± 1.00"), std::string::npos) << text;
  EXPECT_NE(text.find("146"), std::string::npos) << text;
  EXPECT_NE(text.find("over 3 seeds"), std::string::npos) << text;
}

TEST(Report, OneSeedHasNoDeviation) {
  Experiment experiment;
  experiment.seeds = {0};
  experiment.arms.resize(1);
  experiment.arms[0].name = "hard";
  const std::string text = format_report(experiment, {result("hard", 0, 10)});
  EXPECT_EQ(text.find("±"), std::string::npos) << text;
  EXPECT_EQ(text.find("reference"), std::string::npos) << text;
}

TEST(Report, OfTextCountsBits) {
  Experiment experiment;
  experiment.seeds = {0};
  experiment.arms.resize(1);
  experiment.arms[0].name = "small";
  Result r = result("small", 0, 10);
  r.test.accuracy = 0.5125;
  r.bits_per_token = 4.5;
  const std::string tokens = format_report(experiment, {r});
  EXPECT_NE(tokens.find("test bits/token"), std::string::npos) << tokens;
  EXPECT_NE(tokens.find("4.5000"), std::string::npos) << tokens;
  EXPECT_NE(tokens.find("51.25"), std::string::npos) << tokens;
  EXPECT_EQ(tokens.find("errors"), std::string::npos) << tokens;
  r.bits_per_character = 1.5;
  const std::string characters = format_report(experiment, {r});
  EXPECT_NE(characters.find("test bits/character"), std::string::npos) << characters;
  EXPECT_NE(characters.find("1.5000"), std::string::npos) << characters;
}

TEST(Result, OfTextIsReadBackAsItWasWritten) {
  Result r = result("small", 3, 10);
  EXPECT_FALSE(read_result(write_result(r), "r").bits_per_token.has_value());
  r.bits_per_token = 4.5;
  r.bits_per_character = 1.5;
  const Result back = read_result(write_result(r), "r");
  EXPECT_EQ(back.bits_per_token, 4.5);
  EXPECT_EQ(back.bits_per_character, 1.5);
}

TEST(Result, WithTheMemoryOfItsStepsIsReadBackAsItWasWritten) {
  Result r = result("small", 3, 10);
  EXPECT_FALSE(write_result(r).contains("step_bytes"));
  r.step_bytes = 1000;
  r.step_pool_bytes = 1500;
  const Result back = read_result(write_result(r), "r");
  EXPECT_EQ(back.step_bytes, 1000);
  EXPECT_EQ(back.step_pool_bytes, 1500);
}

TEST(FormatTable, AlignsByCharacters) {
  EXPECT_EQ(format_table({{"a", "b"}, {"long", "1 ± 2"}, {"x", ""}}),
            "a         b\n"
            "-----------\n"
            "long  1 ± 2\n"
            "x\n");
}

TEST(ClockTime, Minutes) {
  EXPECT_EQ(clock_time(7), "0:07");
  EXPECT_EQ(clock_time(754), "12:34");
  EXPECT_EQ(clock_time(3723), "1:02:03");
}

TEST(ProgressLine, WritesOverItselfOnATerminalOnly) {
  std::ostringstream terminal, file;
  for (auto* out : {&terminal, &file}) {
    ProgressLine line(*out, out == &terminal);
    line.begin("job", 0);
    line.update({5, 10, 0, 0.25, 0.1});
    line.end("done");
  }
  EXPECT_NE(terminal.str().find("\r\033[Kjob  step 5/10  loss 0.25"), std::string::npos);
  EXPECT_EQ(file.str(), "job  done\n");
}

}  // namespace
}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// limbeck profile: how ranges are summed up, and the command as its user meets it.
#include <limbeck/tools/profile.h>

#include <algorithm>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/cli.h>
#include <limbeck/tools/trace_json.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

TraceEvent event(const char* name, TraceKind kind, std::size_t parent, double begin, double end,
                 const char* place = "", std::uint64_t launches = 0) {
  TraceEvent e = {.name = name, .place = place, .kind = kind, .parent = parent};
  e.begin = begin;
  e.end = end;
  e.launches = launches;
  return e;
}

const ProfileRow& row(const StepProfile& profile, const std::string& name) {
  const auto found = std::find_if(profile.rows.begin(), profile.rows.end(),
                                  [&](const ProfileRow& r) { return r.name == name; });
  if (found == profile.rows.end()) throw std::out_of_range("no row " + name);
  return *found;
}

// Steps of 10 and 14: forward 2 and 3; backward 5 in each, of which 2 are the node again.
TEST(ProfileSteps, SumsByHand) {
  const std::size_t none = TraceEvent::kNoParent;
  std::vector<TraceEvent> events;
  for (const double start : {0.0, 100.0}) {
    const std::size_t step = events.size();
    const double more = start > 0 ? 2 : 0;
    events.push_back(event("step", TraceKind::step, none, start, start + 10 + 2 * more, "", 6));
    events.push_back(event("student", TraceKind::model, step, start, start + 4, "student", 2));
    events.push_back(
        event("fc1", TraceKind::node, step + 1, start + 1, start + 3 + more / 2, "student/fc1", 2));
    events.push_back(event("matmul", TraceKind::kernel, step + 2, start + 1, start + 2, "", 1));
    events.push_back(event("student", TraceKind::backward, step, start + 4, start + 10, "", 4));
    events.push_back(
        event("recompute", TraceKind::gradient, step + 4, start + 5, start + 10, "student", 4));
    events.push_back(
        event("fc1", TraceKind::node, step + 5, start + 6, start + 8, "student/fc1", 2));
  }
  events.push_back(event("student", TraceKind::update, none, 200, 300));  // in no step
  const StepProfile profile = profile_steps(events);
  EXPECT_EQ(profile.steps, 2);
  EXPECT_DOUBLE_EQ(profile.seconds, 12);
  EXPECT_DOUBLE_EQ(profile.launches, 6);
  ASSERT_EQ(profile.rows.size(), 3u);
  EXPECT_DOUBLE_EQ(row(profile, "student/fc1").seconds, 4.5);
  EXPECT_DOUBLE_EQ(row(profile, "student/fc1").launches, 4);
  EXPECT_DOUBLE_EQ(row(profile, "student backward").seconds, 3);
  EXPECT_EQ(profile.rows.back().name, "the rest of the step");
  EXPECT_DOUBLE_EQ(profile.rows.back().seconds, 4.5);
  double share = 0;
  for (const ProfileRow& r : profile.rows) share += r.share;
  EXPECT_DOUBLE_EQ(share, 1);
}

// A range of 8 of a step of 10: two threads spend 3 and 9 in fc1 and 4 of no row. 12 and 4 of 16
// become 6 and 2 of 8.
TEST(ProfileSteps, TasksOfSeveralThreadsTakeAsLongAsTheirRange) {
  const std::size_t none = TraceEvent::kNoParent;
  std::vector<TraceEvent> events = {
      event("step", TraceKind::step, none, 0, 10),
      event("in shares", TraceKind::range, 0, 1, 9, "teacher"),
      event("teacher", TraceKind::model, 1, 2, 7, "teacher"),
      event("fc1", TraceKind::node, 2, 3, 6, "teacher/fc1"),
      event("teacher", TraceKind::model, none, 0.5, 0.75, "teacher"),  // of another range
      event("teacher", TraceKind::model, none, 1, 9, "teacher"),
      event("fc1", TraceKind::node, 5, 2, 8, "teacher/fc1"),
      event("teacher", TraceKind::model, none, 8, 11, "teacher"),
      event("fc1", TraceKind::node, 7, 8, 11, "teacher/fc1"),
  };
  const StepProfile profile = profile_steps(events);
  EXPECT_DOUBLE_EQ(profile.seconds, 10);
  ASSERT_EQ(profile.rows.size(), 2u);
  EXPECT_DOUBLE_EQ(row(profile, "teacher/fc1").seconds, 6);
  EXPECT_DOUBLE_EQ(profile.rows.back().seconds, 2 + 2);
}

TEST(ProfileSteps, NothingComesOfNothing) {
  EXPECT_EQ(profile_steps({}).steps, 0);
  EXPECT_TRUE(profile_steps({}).rows.empty());
}

// 6 -> 5 -> relu -> 2 on 10 samples, in f32: 4 bytes a number.
TEST(WorksOf, ByHand) {
  const ModelSpec spec = {{6},
                          {{.type = "linear", .name = "fc1", .out = 5},
                           {.type = "relu", .name = "relu1"},
                           {.type = "linear", .name = "fc2", .out = 2}}};
  const Works works = works_of("student", spec, 10, DType::f32, true);
  EXPECT_EQ(works.at("student/fc1").flops, 10 * 2 * 30);
  EXPECT_EQ(works.at("student/fc1").bytes, 4 * (60 + 35 + 50));
  EXPECT_EQ(works.at("student/fc1 backward").flops, 10 * 2 * 30) << "no gradient of the input";
  EXPECT_EQ(works.at("student/fc1 backward").bytes, 4 * (50 + 60 + 35));
  EXPECT_EQ(works.at("student/fc2 backward").flops, 2 * 10 * 2 * 10);
  EXPECT_EQ(works.at("student/fc2 backward").bytes, 4 * (20 + 2 * (50 + 12)));
  EXPECT_EQ(works.at("student/fc1+relu1").flops, 10 * 2 * 30);
  EXPECT_EQ(works.at("student/fc1+relu1").bytes, 4 * (60 + 35 + 50)) << "relu in place";
  const Works frozen = works_of("teacher", spec, 10, DType::bf16, false);
  EXPECT_EQ(frozen.at("teacher/fc1").bytes, 2 * (60 + 35 + 50));
  EXPECT_FALSE(frozen.contains("teacher/fc1 backward"));
}

TEST(AddWorks, TheLargerOfBytesAndFlopsLimits) {
  StepProfile profile;
  profile.rows = {{.name = "a", .seconds = 4},
                  {.name = "unknown", .seconds = 1},
                  {.name = "a & b", .seconds = 4},
                  {.name = "a & b backward", .seconds = 4}};
  Ceilings ceilings;
  ceilings.stream = {{1, 100}, {1e9, 100}};
  ceilings.product_f32 = 1000;
  add_works(profile,
            {{"a", {.bytes = 200, .flops = 1000}},
             {"b", {.bytes = 50, .flops = 3000}},
             {"a backward", {.bytes = 100}}},
            ceilings);
  EXPECT_EQ(profile.rows[0].roofline.limit, "bandwidth");
  EXPECT_DOUBLE_EQ(profile.rows[0].of_ceiling(), 0.5);
  EXPECT_EQ(profile.rows[1].of_ceiling(), 0);
  EXPECT_EQ(profile.rows[2].work.flops, 4000);
  EXPECT_EQ(profile.rows[2].roofline.limit, "product");
  EXPECT_DOUBLE_EQ(profile.rows[2].of_ceiling(), 1);
  EXPECT_EQ(profile.rows[3].work.bytes, 100) << "b does not learn";
}

const char* kRunFile = R"({
  "name": "small",
  "data": {"source": "synthetic-digits", "train_samples": 96, "test_samples": 10},
  "seeds": [0],
  "teacher": {
    "model": {"layers": [{"type": "linear", "name": "fc1", "out": 12}, {"type": "relu", "name": "act"},
                         {"type": "linear", "name": "fc2", "out": 10}]},
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
    {"name": "hard"},
    {"name": "soft", "distill": {"mode": "forward", "tau": 4, "kd_weight": 1, "ce_weight": 0}},
    {"name": "both", "distill": {"mode": "mutual", "tau": 4, "kd_weight": 1, "ce_weight": 1}},
    {"name": "last"}]
})";

struct Outcome {
  int code;
  std::string out, err;
};

/// On the CPU and on the GPU where there is one.
class Profile : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("cuda") && cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
    write_text(file("run.json"), kRunFile);
  }
  std::string file(const std::string& name) const { return folder_.file(name); }
  json read(const std::string& name) const { return json::parse(read_text(file(name))); }
  Outcome command(std::vector<std::string> options) const {
    std::vector<std::string> arguments = {"profile", file("run.json"), "--no-ceilings", "--device",
                                          GetParam()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    std::ostringstream out, err;
    const int code = run_cli(arguments, {out}, err);
    return {code, out.str(), err.str()};
  }
  /// Two steps, with both files.
  Outcome profile(std::vector<std::string> more = {}) const {
    more.insert(more.end(), {"--steps", "2", "--json", file("p.json"), "--trace", file("t.json")});
    return command(more);
  }
  std::set<std::string> parts() const {
    std::set<std::string> names;
    const json report = read("p.json");
    for (const json& part : report["parts"]) names.insert(part["name"]);
    return names;
  }
  const TemporaryFolder folder_;
};

TEST_P(Profile, ShowsEveryPartOfAStep) {
  const Outcome outcome = profile({"--arm", "soft"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::set<std::string> expected = {"batch",
                                          "student/out",
                                          "student/hidden+t & teacher/fc1+act",
                                          "teacher/fc2",
                                          "student from teacher",
                                          "student from teacher/logits",
                                          "student from teacher/logits backward",
                                          "student/out backward",
                                          "student/hidden+t & teacher/fc1+act backward",
                                          "student update",
                                          "the rest of the step"};
  for (const std::string& part : expected) {
    EXPECT_TRUE(parts().contains(part)) << part << " in\n" << outcome.out;
    EXPECT_NE(outcome.out.find("\n" + part + " "), std::string::npos) << outcome.out;
  }
  for (const std::string& part : parts())
    EXPECT_TRUE(expected.contains(part) || part == "student backward") << part;
}

TEST_P(Profile, TheLastArmThatDistilsIsTaken) {
  const Outcome outcome = profile();
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(read("p.json")["arm"], "both");
  for (const char* part : {"student1/out", "teacher/fc2", "teacher/fc2 backward", "teacher update",
                           "student1 from teacher/logits", "teacher from student1/logits"})
    EXPECT_TRUE(parts().contains(part)) << part << " in\n" << outcome.out;
}

TEST_P(Profile, ATeacherThatIsAskedBeforeHasNoPart) {
  const Outcome outcome = profile({"--arm", "soft", "--set", "student.recipe.augment.crop=0"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(parts().contains("teacher/fc2"));
  EXPECT_TRUE(parts().contains("student from teacher/logits"));
  EXPECT_NE(outcome.out.find("what teacher knows of the samples was computed before the steps"),
            std::string::npos)
      << outcome.out;
}

TEST_P(Profile, JsonHoldsTheTable) {
  ASSERT_EQ(profile({"--arm", "soft"}).code, 0);
  const json report = read("p.json");
  EXPECT_EQ(report["steps"], 2);
  EXPECT_EQ(report["batch"], 32);
  EXPECT_EQ(report["machine"]["device"], GetParam() == std::string("cpu") ? "cpu" : "cuda:0");
  EXPECT_GT(report["step"]["s"].get<double>(), 0);
  EXPECT_GT(report["step"]["activation_bytes"].get<double>(), 0);
  const bool gpu = report["traced"]["waits"];
  EXPECT_EQ(gpu, GetParam() == std::string("cuda"));
  EXPECT_EQ(report["traced"]["launches"].get<double>() > 0, gpu);
  EXPECT_EQ(report["step"]["as_graph"], gpu ? 2 : 0);
  double share = 0, launches = 0;
  for (const json& part : report["parts"]) {
    share += part["share"].get<double>();
    launches += part["launches"].get<double>();
    if (part["name"] == "student/out") {
      EXPECT_EQ(part["flops"], 32 * 2 * 8 * 10);
      EXPECT_EQ(part["kind"], "node");
    }
  }
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_EQ(launches, report["traced"]["launches"]);
}

TEST_P(Profile, TheTraceIsOfCompleteEventsThatNest) {
  ASSERT_EQ(profile({"--arm", "soft"}).code, 0);
  const json trace = read("t.json");
  std::vector<json> steps;
  std::set<std::string> kinds;
  for (const json& e : trace["traceEvents"]) {
    EXPECT_EQ(e["ph"], "X");
    EXPECT_GE(e["dur"].get<double>(), 0);
    kinds.insert(e["cat"]);
    if (e["cat"] == "step") steps.push_back(e);
    ASSERT_FALSE(steps.empty()) << e;
    const double begin = steps.back()["ts"], end = begin + steps.back()["dur"].get<double>();
    if (e["tid"] != steps.back()["tid"] || e["cat"] == "kernel") continue;
    EXPECT_GE(e["ts"].get<double>(), begin) << e;
    EXPECT_LE(e["ts"].get<double>() + e["dur"].get<double>(), end + 0.01) << e;
  }
  EXPECT_EQ(steps.size(), 2u);
  const std::set<std::string> expected = {"step",     "batch",    "model",  "node",  "loss",
                                          "backward", "gradient", "update", "kernel"};
  EXPECT_EQ(kinds, expected);
}

TEST_P(Profile, MistakesAreOneLine) {
  const auto expect_refusal = [](const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.code, 1);
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  };
  expect_refusal(command({"--arm", "softest"}),
                 R"(there is no arm "softest"; the file has "hard", "soft", "both", "last")");
  expect_refusal(command({"--json", file("none/p.json")}), "none/p.json: cannot be written");
  expect_refusal(command({"--trace", file("none/t.json")}), "none/t.json: cannot be written");
  expect_refusal(command({"--steps", "0"}), "--steps: is 0; expected >= 1");
}

INSTANTIATE_TEST_SUITE_P(Devices, Profile, ::testing::Values("cpu", "cuda"));

}  // namespace
}  // namespace limbeck::testing

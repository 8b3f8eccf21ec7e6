// SPDX-License-Identifier: Apache-2.0
// The program as its user meets it: commands, files, one line per error.
#include <limbeck/tools/cli.h>

#include <csignal>

#include <nlohmann/json.hpp>

#include <limbeck/nn/safetensors.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

const char* kRunFile = R"({
  "name": "small",
  "data": {"source": "synthetic-digits", "train_samples": 300, "test_samples": 200},
  "seeds": [0],
  "teacher": {
    "model": {"layers": [{"type": "linear", "out": 32}, {"type": "relu"},
                         {"type": "linear", "out": 10}]},
    "recipe": {"epochs": 2, "batch": 100, "max_jitter": 1,
               "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0},
               "schedule": {"type": "cosine"}}},
  "student": {
    "model": {"layers": [{"type": "linear", "out": 10}]},
    "recipe": {"epochs": 2, "batch": 100,
               "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0},
               "schedule": {"type": "constant"}}},
  "arms": [
    {"name": "hard", "reference": {"errors": 99}},
    {"name": "soft", "omit_classes": [3], "bias_sweep": [3],
     "distill": {"mode": "forward", "tau": 4, "kd_weight": 1, "ce_weight": 0}}],
  "report_every": 1,
  "checkpoint_every": 2
})";

struct Outcome {
  int code;
  std::string out, err;
};

Outcome limbeck(const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  const int code = run_cli(arguments, {out}, err);
  return {code, out.str(), err.str()};
}

class Cli : public ::testing::Test {
 protected:
  Cli() { write_text(file("run.json"), kRunFile); }
  std::string file(const std::string& name) const { return folder_.file(name); }
  json read(const std::string& name) const { return json::parse(read_text(file(name))); }
  Outcome distill(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"distill", file("run.json"), "--out",
                                          file(out), "--device",       "cpu"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return limbeck(arguments);
  }
  /// One line on stderr that contains `part`, and exit code `code`.
  static void expect_refusal(const Outcome& outcome, const std::string& part, int code = 1) {
    EXPECT_EQ(outcome.code, code) << outcome.out;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.err.rfind("limbeck: ", 0), 0u) << outcome.err;
  }
  const TemporaryFolder folder_;
};

TEST_F(Cli, DistillLeavesATableAndARunFolder) {
  const Outcome outcome = distill("out");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"model", "parameters", "test errors", "agreement", "ECE", "ms/step",
                           "reference", "teacher", "hard", "soft", "bias of 3 moved by", "99"})
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in\n" << outcome.out;
  EXPECT_NE(outcome.out.find("run folder: " + file("out")), std::string::npos);
  const json run = read("out/run.json");
  EXPECT_EQ(run["status"], "finished");
  EXPECT_EQ(run["config"], json::parse(kRunFile));
  EXPECT_EQ(run["seeds"], json::array({0}));
  EXPECT_EQ(run["machine"]["math"], "exact");
  EXPECT_EQ(run["data"]["train"].get<std::string>().size(), 32u);
  ASSERT_EQ(run["results"].size(), 3u);
  EXPECT_EQ(run["results"][2]["model"], "soft");
  EXPECT_EQ(run["results"][2]["digest"].get<std::string>().size(), 32u);
  EXPECT_EQ(run["results"][0]["steps"], 6);
  const SafetensorsFile weights = read_safetensors(file("out/seed-0/soft/weights.safetensors"));
  EXPECT_EQ(weights.tensors[1].first, "0.weight");
  EXPECT_FALSE(std::filesystem::exists(file("out/seed-0/soft/checkpoint.safetensors")));
}

TEST_F(Cli, MetricsAreJsonLines) {
  ASSERT_EQ(distill("out").code, 0);
  std::ifstream lines(file("out/seed-0/hard/metrics.jsonl"));
  std::int64_t step = 0;
  for (std::string line; std::getline(lines, line);) {
    const json entry = json::parse(line);
    EXPECT_EQ(entry["step"], ++step);
    EXPECT_TRUE(entry["loss"].is_number());
    EXPECT_EQ(entry["lr"], 0.1);
  }
  EXPECT_EQ(step, 6);
}

TEST_F(Cli, TheSameRunTwiceAndReproduce) {
  ASSERT_EQ(distill("a").code, 0);
  ASSERT_EQ(distill("b", {"--threads", "3"}).code, 0);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(read("a/run.json")["results"][i]["digest"],
              read("b/run.json")["results"][i]["digest"]);
  const Outcome again = limbeck({"reproduce", file("a/run.json"), "--out", file("c")});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.out.find("seed 0 soft"), std::string::npos);
  json run = read("a/run.json");
  run["results"][1]["digest"] = "0123";
  write_text(file("a/run.json"), run.dump());
  const Outcome other = limbeck({"reproduce", file("a/run.json"), "--out", file("d")});
  expect_refusal(other, "the repeated run ended in other digests");
  EXPECT_NE(other.out.find("DIFFERS from 0123"), std::string::npos);
}

TEST_F(Cli, ResumeDoesOnlyWhatIsLeft) {
  ASSERT_EQ(distill("a").code, 0);
  // As if killed while the second student was being trained, before its first checkpoint.
  std::filesystem::copy(file("a"), file("b"), std::filesystem::copy_options::recursive);
  for (const char* left : {"result.json", "weights.safetensors"})
    std::filesystem::remove(file(std::string("b/seed-0/soft/") + left));
  const Outcome outcome = distill("b", {"--resume"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.find("seed 0 hard"), std::string::npos) << "trained again:\n"
                                                                << outcome.out;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(read("a/run.json")["results"][i]["digest"],
              read("b/run.json")["results"][i]["digest"]);
  EXPECT_EQ(read_text(file("a/seed-0/soft/weights.safetensors")),
            read_text(file("b/seed-0/soft/weights.safetensors")));
}

/// A terminal that kills this process with SIGKILL once `text` has appeared on it.
class KillingTerminal : public std::stringbuf {
 public:
  explicit KillingTerminal(std::string text) : text_(std::move(text)) {}

 protected:
  int sync() override {
    if (str().find(text_) != std::string::npos) std::raise(SIGKILL);
    return std::stringbuf::sync();
  }

 private:
  std::string text_;
};

void distill_and_die(const std::string& run_file, const std::string& out) {
  write_text(run_file, kRunFile);
  KillingTerminal buffer("seed 0 soft  step 5/");
  std::ostream terminal(&buffer), err(&buffer);
  run_cli({"distill", run_file, "--out", out, "--device", "cpu"}, {terminal, true}, err);
}

TEST_F(Cli, Kill9InMidEpochCostsNothing) {
  // "threadsafe" starts this program anew for the child; both must agree on the folder.
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "limbeck-test-cli-kill9";
  const std::string out = (folder / "out").string(), run_file = (folder / "run.json").string();
  std::filesystem::create_directories(folder);
  EXPECT_EXIT(distill_and_die(run_file, out), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_TRUE(std::filesystem::exists(out + "/seed-0/soft/checkpoint.safetensors"));
  const Outcome resumed =
      limbeck({"distill", run_file, "--out", out, "--device", "cpu", "--resume"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  ASSERT_EQ(distill("whole").code, 0);
  EXPECT_EQ(read_text(out + "/seed-0/soft/weights.safetensors"),
            read_text(file("whole/seed-0/soft/weights.safetensors")));
  const std::string log = read_text(out + "/seed-0/soft/metrics.jsonl");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 6) << log;
  std::filesystem::remove_all(folder);
}

TEST_F(Cli, ResumeRefusesAnotherRun) {
  ASSERT_EQ(distill("a").code, 0);
  expect_refusal(distill("a"), "holds a run already");
  expect_refusal(distill("a", {"--resume", "--set", "student.recipe.epochs=3"}),
                 "was begun with another run file; /student/recipe/epochs differs");
  expect_refusal(distill("none", {"--resume"}), "holds no run.json; there is nothing to resume");
  expect_refusal(limbeck({"distill", file("run.json"), "--resume"}), "--resume: needs --out");
}

TEST_F(Cli, TrainNeedsNoTeacher) {
  json config = json::parse(kRunFile);
  config.erase("teacher");
  config.erase("arms");
  write_text(file("train.json"), config.dump());
  const Outcome outcome =
      limbeck({"train", file("train.json"), "--out", file("t"), "--seed", "7", "--device", "cpu"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(std::filesystem::exists(file("t/seed-7/student/weights.safetensors")));
  expect_refusal(limbeck({"train", file("run.json"), "--out", file("u")}),
                 "teacher: there is one; run it with limbeck distill");
  expect_refusal(limbeck({"distill", file("train.json"), "--out", file("u")}),
                 "none has \"distill\"; run it with limbeck train");
}

TEST_F(Cli, EvalCompareAndInfo) {
  ASSERT_EQ(distill("out").code, 0);
  const std::string student = file("out/seed-0/soft/weights.safetensors");
  const std::string teacher = file("out/seed-0/teacher/weights.safetensors");
  const json results = read("out/run.json")["results"];
  const std::vector<std::string> data = {"--data", "synthetic-digits", "--test-samples",
                                         "200",    "--device",         "cpu"};
  std::vector<std::string> eval = {"eval", student};
  eval.insert(eval.end(), data.begin(), data.end());
  const Outcome measured = limbeck(eval);
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_NE(measured.out.find(results[2]["test"]["errors"].dump() + " of 200"), std::string::npos)
      << measured.out;
  std::vector<std::string> compare = {"compare", student, teacher};
  compare.insert(compare.end(), data.begin(), data.end());
  const Outcome compared = limbeck(compare);
  EXPECT_EQ(compared.code, 0) << compared.err;
  EXPECT_NE(compared.out.find("agreement 0."), std::string::npos) << compared.out;
  EXPECT_NE(limbeck({"info", teacher}).out.find("(32,784)"), std::string::npos);
  EXPECT_NE(limbeck({"info", file("out")}).out.find("bias of 3 moved by"), std::string::npos);
  EXPECT_NE(limbeck({"info"}).out.find("cpu: "), std::string::npos);
}

TEST_F(Cli, InfoShowsTheLayersOfModelAndRunFiles) {
  write_text(file("model.json"), R"({"input": [3], "layers": [{"type": "linear", "out": 2}]})");
  const Outcome model = limbeck({"info", file("model.json")});
  EXPECT_EQ(model.code, 0) << model.err;
  EXPECT_NE(model.out.find("Linear(3, 2)"), std::string::npos) << model.out;
  const Outcome run = limbeck({"info", file("run.json")});
  EXPECT_EQ(run.code, 0) << run.err;
  for (const char* part : {"teacher\n", "hard\n", "soft\n", "Linear(784, 32)", "Linear(784, 10)",
                           "a step of soft: student learns from teacher"})
    EXPECT_NE(run.out.find(part), std::string::npos) << part << " in\n" << run.out;
  write_text(file("model.json"), R"({"layers": [{"type": "linear", "out": 2}]})");
  expect_refusal(limbeck({"info", file("model.json")}), "model.json: input: is missing");
  expect_refusal(limbeck({"info", file("none.json")}), "none.json: cannot be read");
}

TEST_F(Cli, ATeacherIsLoadedFromItsFile) {
  ASSERT_EQ(distill("a").code, 0);
  json config = json::parse(kRunFile);
  config["teacher"].erase("recipe");
  config["teacher"]["weights"] = file("a/seed-0/teacher/weights.safetensors");
  write_text(file("run.json"), config.dump());
  const Outcome outcome = distill("b");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(read("a/run.json")["results"][i]["digest"],
              read("b/run.json")["results"][i]["digest"]);
  expect_refusal(distill("c", {"--set", "teacher.model.layers.0.out=31"}), "0.weight");
  expect_refusal(distill("d", {"--set", "teacher.weights=/nowhere/t.safetensors"}),
                 "/nowhere/t.safetensors");
  SafetensorsFile weights = read_safetensors(file("a/seed-0/teacher/weights.safetensors"));
  weights.tensors[0].second.data<float>()[7] = 1e5;
  write_safetensors(file("large.safetensors"), weights);
  expect_refusal(distill("e", {"--set", "teacher.weights=" + file("large.safetensors"), "--set",
                               "teacher.dtype=f16"}),
                 "teacher.dtype: weights do not fit the model; '" + weights.tensors[0].first +
                     "' holds 100000, which is infinite in f16");
}

// The teacher's file under another program's names, a matrix transposed and one tensor too many.
TEST_F(Cli, ATeacherComesUnderOtherNames) {
  ASSERT_EQ(distill("a").code, 0);
  SafetensorsFile own = read_safetensors(file("a/seed-0/teacher/weights.safetensors")), other;
  for (const auto& [name, tensor] : own.tensors) other.tensors.emplace_back("net." + name, tensor);
  other.tensors.emplace_back("net.mask", Tensor::zeros({1}));
  write_safetensors(file("other.safetensors"), other);
  write_text(file("names.json"), R"json({"rules": [{"match": "net\\.mask"},
                                               {"match": "net\\.(.*)", "to": "$1"}]})json");
  json config = json::parse(kRunFile);
  config["teacher"].erase("recipe");
  config["teacher"]["weights"] = file("other.safetensors");
  write_text(file("run.json"), config.dump());
  expect_refusal(distill("b"), "unexpected 'net.mask'");
  const Outcome outcome = distill("c", {"--set", "teacher.names=" + file("names.json")});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(read("a/run.json")["results"][i]["digest"],
              read("c/run.json")["results"][i]["digest"]);
  expect_refusal(distill("d", {"--set", "teacher.strict=false"}), "not one tensor does");
  write_text(file("names.json"), R"json({"rules": [{"match": "net\\.(.*)", "to": "$1"}]})json");
  const Outcome lenient = distill(
      "e", {"--set", "teacher.names=" + file("names.json"), "--set", "teacher.strict=false"});
  EXPECT_EQ(lenient.code, 0) << lenient.err;
  EXPECT_NE(lenient.out.find("unexpected 'mask'"), std::string::npos) << lenient.out;
}

TEST_F(Cli, ATeacherMayBeRounded) {
  ASSERT_EQ(distill("a").code, 0);
  const Outcome outcome = distill("b", {"--set", "teacher.dtype=bf16"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json exact = read("a/run.json")["results"], rounded = read("b/run.json")["results"];
  const std::vector<bool> same = {true, true, false};  // teacher as trained, hard, soft
  for (std::size_t i = 0; i < same.size(); ++i)
    EXPECT_EQ(exact[i]["digest"] == rounded[i]["digest"], same[i]) << exact[i]["model"];
}

TEST_F(Cli, BadInputIsOneLine) {
  expect_refusal(limbeck({}), "A command is required", 2);
  expect_refusal(limbeck({"destill"}), "destill", 2);
  expect_refusal(limbeck({"distill"}), "file is required", 2);
  expect_refusal(limbeck({"distill", file("none.json")}), "none.json: cannot be read");
  expect_refusal(distill("o", {"--set", "student.recipe.epoch=3"}),
                 "run.json: student.recipe.epoch: unknown key; did you mean \"epochs\"?");
  expect_refusal(distill("o", {"--set",
                               "arms.1.distill={\"mode\":\"forward\",\"kd_weight\":1,"
                               "\"ce_weight\":0}"}),
                 "run.json: arms.1.distill.tau: is missing; it has no default");
  expect_refusal(distill("o", {"--data", "/nowhere"}), "/nowhere");
  expect_refusal(limbeck({"distill", file("run.json"), "--device", "cuda:99"}), "cuda:99");
  expect_refusal(distill("o", {"--math", "quick"}), "--math quick");
  write_text(file("run.json"), "{\"name\": ");
  expect_refusal(distill("o"), "run.json: parse error at line 1");
}

TEST_F(Cli, ALossThatIsNotFiniteIsOneLine) {
  expect_refusal(distill("o", {"--set", "student.recipe.optimizer.lr=1e39"}),
                 "training stopped at step 2 of 6: ");
}

TEST_F(Cli, AnUnwritableFolderIsFoundBeforeTraining) {
  write_text(file("taken"), "a file");
  const Outcome outcome = distill("taken/run");
  expect_refusal(outcome, "taken/run: cannot be made: Not a directory");
  EXPECT_EQ(outcome.out, "");
}

TEST_F(Cli, AFullDiskWhileTrainingIsOneLine) {
  const FileSizeLimit limit(8192);  // run.json fits, a checkpoint of 25 kB does not
  expect_refusal(distill("out"), "checkpoint.safetensors.tmp: cannot write: File too large");
}

TEST_F(Cli, HelpAndVersion) {
  EXPECT_EQ(limbeck({"--help"}).code, 0);
  EXPECT_NE(limbeck({"--help"}).out.find("distill"), std::string::npos);
  EXPECT_NE(limbeck({"--version"}).out.find("limbeck 0."), std::string::npos);
}

}  // namespace
}  // namespace limbeck::testing

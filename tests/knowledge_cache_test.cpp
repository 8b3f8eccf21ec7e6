// SPDX-License-Identifier: Apache-2.0
// Knowledge as files, as a user meets it: encode, then distil without the teacher.
#include <limbeck/tools/knowledge_cache.h>

#include <sstream>

#include <limbeck/nn/weights.h>
#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/cli.h>
#include <limbeck/tools/model_json.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

json parse(const char* text) { return json::parse(text); }

/// One epoch of 6 steps on 90 digits. The teacher would be trained here; nobody does.
json run_file() {
  json config = parse(R"({
    "name": "cached",
    "data": {"source": "synthetic-digits", "train_samples": 90, "test_samples": 20},
    "seeds": [0],
    "teacher": {
      "model": {"layers": [{"type": "linear", "name": "fc1", "out": 24},
                           {"type": "relu", "name": "relu1"}, {"type": "linear", "out": 10}]}},
    "student": {
      "model": {"layers": [{"type": "linear", "name": "fc1", "out": 8},
                           {"type": "relu", "name": "relu1"}, {"type": "linear", "out": 10}]}},
    "report_every": 1, "checkpoint_every": 2})");
  const json recipe = parse(R"({"epochs": 1, "batch": 16,
    "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0},
    "schedule": {"type": "constant"}})");
  config["teacher"]["recipe"] = config["student"]["recipe"] = recipe;
  const json soft = parse(R"({"mode": "forward", "tau": 4, "kd_weight": 0.9, "ce_weight": 0.1})");
  const auto arm = [&](const char* name, const char* more) {
    json distill = soft;
    distill.update(json::parse(more));
    return json{{"name", name}, {"distill", distill}};
  };
  config["arms"] = {arm("soft", "{}"), arm("top", R"({"top_k": 3})"), arm("rich", R"({"features": [
        {"technique": "compressed_sensing", "student": "relu1", "teacher": "relu1", "weight": 1},
        {"technique": "polynomial", "student": "relu1", "teacher": "fc1", "weight": 1}]})"),
                    arm("codes", R"({"kd_weight": 0, "ce_weight": 1, "features": [
        {"technique": "gaussian_laplace", "student": "fc1", "teacher": "fc1", "weight": 1}]})")};
  return config;
}

struct Outcome {
  int code;
  std::string out, err;
};

Outcome limbeck(const std::vector<std::string>& arguments) {
  std::ostringstream out, err;
  const int code = run_cli(arguments, {out}, err);
  return {code, out.str(), err.str()};
}

/// A console that breaks once `text` has appeared on it.
class BreakingConsole : public std::stringbuf {
 public:
  explicit BreakingConsole(std::string text) : text_(std::move(text)) {}

 protected:
  int sync() override {
    if (str().find(text_) != std::string::npos) throw std::runtime_error("broken");
    return std::stringbuf::sync();
  }

 private:
  std::string text_;
};

class KnowledgeCacheTest : public ::testing::Test {
 protected:
  KnowledgeCacheTest() {
    write(run_file());
    LayerSpec hidden, relu, last;
    hidden.type = last.type = "linear";
    hidden.name = "fc1";
    hidden.out = 24;
    relu.type = "relu";
    last.out = 10;
    save_weights(*build_model({{28, 28, 1}, {hidden, relu, last}}, 1), weights_);
  }
  std::string file(const std::string& name) const { return folder_.file(name); }
  void write(const json& config) const { write_text(file("run.json"), config.dump()); }
  /// All arms with the teacher's own presence.
  void live() const {
    json config = json::parse(read_text(file("run.json")));
    config["teacher"].erase("recipe");
    config["teacher"]["weights"] = weights_;
    write_text(file("live.json"), config.dump());
    const Outcome outcome =
        limbeck({"distill", file("live.json"), "--out", file("live"), "--device", device_});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  Outcome encode(const std::string& arm, const std::string& weights,
                 const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"encode", file("run.json"), "--arm",    arm,
                                          "--out",  cache(arm),       "--device", device_};
    if (!weights.empty()) arguments.insert(arguments.end(), {"--weights", weights});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return limbeck(arguments);
  }
  Outcome distill(const std::string& arm, const std::string& out,
                  const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"distill",  file("run.json"), "--teacher-cache",
                                          cache(arm), "--out",          file(out),
                                          "--device", device_};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return limbeck(arguments);
  }
  std::string cache(const std::string& arm) const { return file(arm + ".safetensors"); }
  json results(const std::string& out) const {
    return json::parse(read_text(file(out + "/run.json"))).at("results");
  }
  json result(const std::string& out, const std::string& model) const {
    for (const json& one : results(out))
      if (one.at("model") == model) return one;
    return {};
  }
  /// One line on stderr that contains `part`, and exit code 1.
  static void expect_refusal(const Outcome& outcome, const std::string& part) {
    EXPECT_EQ(outcome.code, 1) << outcome.out;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
  void expect_same_bits() const {
    live();
    for (const std::string arm : {"soft", "top", "rich", "codes"}) {
      const Outcome encoded = encode(arm, weights_);
      ASSERT_EQ(encoded.code, 0) << encoded.err;
      const Outcome outcome = distill(arm, "from-" + arm);
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_EQ(results("from-" + arm).size(), 1u) << arm;
      const json own = result("from-" + arm, arm), with_teacher = result("live", arm);
      EXPECT_EQ(own["digest"], with_teacher["digest"]) << arm;
      EXPECT_EQ(own["knowledge_bytes"], with_teacher["knowledge_bytes"]) << arm;
      EXPECT_FALSE(own.contains("fidelity"));
      EXPECT_FALSE(std::filesystem::exists(file("from-" + arm + "/seed-0/teacher")));
    }
  }
  const TemporaryFolder folder_;
  const std::string weights_ = file("teacher.safetensors");
  std::string device_ = "cpu";
};

TEST_F(KnowledgeCacheTest, TeachesTheSameBitsAsTheTeacher) { expect_same_bits(); }

TEST_F(KnowledgeCacheTest, TeachesTheSameBitsOnAGpu) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  json config = run_file();
  config["data"]["train_samples"] = 40;
  write(config);
  device_ = "cuda:0";
  expect_same_bits();
}

// 10 logits are 40 bytes. Of 3 there are 12 bytes of values, 3 of classes and 4 of what is left; in
// f16 6, 3 and 4. 24 channels of relu1 are measured by 8 numbers, fc1's 24 are kept.
TEST_F(KnowledgeCacheTest, SaysWhatASampleTakes) {
  const auto expect = [&](const Outcome& outcome, const std::vector<std::string>& parts) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    for (const std::string& part : parts)
      EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " in\n" << outcome.out;
  };
  expect(encode("soft", weights_), {"for arm \"soft\", 90 samples, f32", "40   40   1.0x"});
  expect(encode("top", weights_), {"3 of 10 logits", "19   40   2.1x"});
  expect(encode("soft", weights_, {"--top-k", "3", "--dtype", "f16"}), {"13   40   3.1x"});
  const Outcome rich = encode("rich", weights_);
  expect(rich,
         {"codes of \"relu1\": compressed_sensing", "codes of \"fc1\": polynomial",
          "168  232   1.4x", std::to_string(std::filesystem::file_size(cache("rich"))) + " bytes"});
  const KnowledgeCache cached = read_knowledge(cache("rich"));
  EXPECT_EQ(cached.knowledge.codes[0].shape(), (Shape{90, 1, 8}));
  EXPECT_EQ(cached.origin.source, "teacher");
}

TEST_F(KnowledgeCacheTest, OfHalfTheBytesItTeachesNearlyTheSame) {
  live();
  ASSERT_EQ(encode("rich", weights_, {"--dtype", "bf16"}).code, 0);
  const Outcome outcome = distill("rich", "half");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(2 * result("half", "rich")["knowledge_bytes"].get<int>(),
            result("live", "rich")["knowledge_bytes"]);
  EXPECT_NE(result("half", "rich")["digest"], result("live", "rich")["digest"]);
  EXPECT_NEAR(result("half", "rich")["test"]["nll"].get<double>(),
              result("live", "rich")["test"]["nll"].get<double>(), 0.05);
}

TEST_F(KnowledgeCacheTest, ResumesToTheBitAndOnlyWithTheSameCache) {
  live();
  ASSERT_EQ(encode("rich", weights_).code, 0);
  BreakingConsole buffer("step 5/");
  std::ostream console(&buffer), err(&buffer);
  console.exceptions(std::ios::badbit);
  EXPECT_EQ(run_cli({"distill", file("run.json"), "--teacher-cache", cache("rich"), "--out",
                     file("b"), "--device", "cpu"},
                    {console, true}, err),
            1);
  ASSERT_TRUE(std::filesystem::exists(file("b/seed-0/rich/checkpoint.safetensors")));
  expect_refusal(
      limbeck({"distill", file("run.json"), "--out", file("b"), "--resume", "--device", "cpu"}),
      "was begun with teacher cache \"");
  const Outcome resumed = distill("rich", "b", {"--resume"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(result("b", "rich")["digest"], result("live", "rich")["digest"]);
  const Outcome again = limbeck({"reproduce", file("b/run.json"), "--out", file("c")});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.out.find("teacher cache  "), std::string::npos) << again.out;
  EXPECT_EQ(limbeck({"info", file("b")}).code, 0);
}

TEST_F(KnowledgeCacheTest, RefusesAnotherRun) {
  for (const char* arm : {"soft", "top", "rich"}) ASSERT_EQ(encode(arm, weights_).code, 0);
  const auto refuses = [&](const std::string& arm, const std::string& set,
                           const std::string& part) {
    const Outcome outcome = distill(arm, "refused", {"--set", set});
    expect_refusal(outcome, part);
    EXPECT_NE(outcome.err.find(cache(arm)), std::string::npos) << outcome.err;
  };
  refuses("soft", "data.seed=1", ": its data_digest is \"");
  refuses("soft", "data.shift=0.5", "its preprocess is {");
  refuses("soft", "student.recipe.max_jitter=2",
          "its augment is \"none\", that of arm \"soft\" \"crop 2, brightness 0, contrast 0, mixup "
          "0, cutmix 0\"");
  refuses("soft", "teacher.dtype=\"bf16\"",
          "its source_dtype is \"f32\", that of arm \"soft\" \"bf16\"");
  refuses("soft", "arms.0.distill.top_k=3", "its logits is \"all\", that of arm \"soft\" \"top\"");
  refuses("soft", "arms.0.name=\"other\"", "there is no arm \"soft\"; the file has \"other\"");
  refuses("top", "arms.1.distill.tau=2", "its tau is 4.0, that of arm \"top\" 2.0");
  refuses("top", "arms.1.distill.top_k=4", "its top_k is 3, that of arm \"top\" 4");
  refuses("rich", "seeds=[1]", "its codes.0.seed is ");
  refuses("rich", "arms.2.distill.features.0.K=4",
          "its codes.0.code is [1,8], that of arm \"rich\" [1,4]");
  refuses("rich", "arms.2.distill.features.0.matrix=\"gaussian\"", "its codes.0.technique is ");
  refuses("rich", "arms.2.distill.features.0.standardise=false",
          "its codes.0.standardise is true, that of arm \"rich\" false");
  refuses("rich", "arms.2.distill.features.1.teacher=\"relu1\"", "its codes.1.layer is \"fc1\"");
  refuses("rich", "arms.2.distill.features.1.teacher=\"2\"", "has no codes of layer \"2\"");
  // tau is not in whole logits, nor a seed where there are no matrices.
  EXPECT_EQ(distill("soft", "other-tau", {"--set", "arms.0.distill.tau=2", "--seed", "1"}).code, 0);
}

TEST_F(KnowledgeCacheTest, RefusesAnotherTeacherWhereThereIsOne) {
  ASSERT_EQ(encode("soft", weights_).code, 0);
  SafetensorsFile other = read_safetensors(weights_);
  for (auto& [name, tensor] : other.tensors)
    if (name == "fc1.bias") (tensor = tensor.clone()).fill(0.5);
  write_safetensors(file("other.safetensors"), other);
  json config = run_file();
  config["teacher"].erase("recipe");
  config["teacher"]["weights"] = file("other.safetensors");
  write(config);
  expect_refusal(distill("soft", "refused"), "its source_digest is \"");
  config["teacher"]["weights"] = weights_;
  write(config);
  EXPECT_EQ(distill("soft", "a").code, 0);
  EXPECT_EQ(encode("soft", "").code, 0) << "the run file names the weights";
  config["teacher"]["weights"] = file("gone.safetensors");
  write(config);
  EXPECT_EQ(distill("soft", "b").code, 0);
}

TEST_F(KnowledgeCacheTest, RefusesWhatCannotBeStored) {
  const auto refuses = [&](const std::string& arm, const std::vector<std::string>& more,
                           const std::string& part) {
    expect_refusal(encode(arm, weights_, more), part);
    EXPECT_FALSE(std::filesystem::exists(cache(arm)));
  };
  expect_refusal(encode("soft", ""), "\"teacher\" is trained by this run file; expected --weights");
  refuses("none", {},
          "there is no arm \"none\"; the file has \"soft\", \"top\", \"rich\", \"codes\"");
  refuses("soft", {"--set", "student.recipe.max_jitter=2"},
          "arm \"soft\": recipe.augment: is \"crop 2, brightness 0, contrast 0, mixup 0, cutmix "
          "0\"; expected none");
  refuses("soft", {"--set", "arms.0.distill.source_state=\"frozen_batch_statistics\""},
          "is frozen_batch_statistics, which looks at whole batches");
  refuses("soft", {"--set", "arms.0.distill.mode=\"mutual\""},
          "learns from models that learn themselves");
  refuses("soft", {"--set", "arms.0.distill.virtual_teacher={}"}, "learns from no model");
  refuses("rich", {"--set", "seeds=[0, 1]"}, "seeds: has 2, and the matrices of arm \"rich\"");
  refuses("codes", {"--top-k", "3"}, "arm \"codes\" has kd_weight 0");
  refuses("soft", {"--top-k", "11"}, "arms.0.distill.top_k: is 11; ");
  refuses(
      "soft", {"--set", "arms.0.distill.top_k=11"},
      "arms.0.distill.top_k: is 11; synthetic-digits/train has 10 classes; expected at most 10");
  refuses("soft", {"--dtype", "u8"}, "--dtype: is \"u8\"; expected f32, bf16 or f16");
  json config = run_file();
  config["arms"][0]["distill"]["jsd_weight"] = 1;
  config["arms"][0]["distill"]["jsd_beta"] = 0.5;
  write(config);
  refuses("soft", {"--top-k", "3"}, "--top-k: is 3 and teaches forward KL alone");
}

TEST_F(KnowledgeCacheTest, TheLargestLogitsAreOfForwardKlAndSamplesAsTheyAre) {
  const auto refuses = [&](const std::string& set, const std::string& part) {
    expect_refusal(limbeck({"distill", file("run.json"), "--out", file("refused"), "--device",
                            device_, "--set", set}),
                   part);
  };
  refuses("arms.1.distill.tvd_weight=1", "arms.1.distill.top_k: is 3 and teaches forward KL alone");
  refuses("arms.1.distill.mode=\"mutual\"", "arms.1.distill.top_k: is of mode forward and reverse");
  refuses("arms.1.distill.virtual_teacher={}", "arms.1.distill.top_k: is of a source's logits");
  refuses("student.recipe.max_jitter=1", "arms.1.distill.top_k: is 3, of logits computed once");
}

TEST_F(KnowledgeCacheTest, RefusesFilesThatAreNoCache) {
  const auto refuses = [&](const SafetensorsFile& contents, const std::string& part) {
    write_safetensors(cache("bad"), contents);
    expect_refusal(distill("bad", "refused"), cache("bad") + ": " + part);
  };
  refuses(read_safetensors(weights_),
          "holds no knowledge; expected a file that limbeck encode wrote");
  ASSERT_EQ(encode("top", weights_).code, 0);
  const SafetensorsFile good = read_safetensors(cache("top"));
  SafetensorsFile spoilt = good;
  spoilt.tensors.pop_back();
  refuses(spoilt, "has no tensor \"top.rest_lse\"");
  spoilt = good;
  for (auto& [name, tensor] : spoilt.tensors) tensor = tensor.rows(0, 5);
  refuses(spoilt, "\"top.indices\" has shape (5,3); expected a row for each of 90 samples");
  spoilt = good;
  json origin = json::parse(spoilt.metadata.at("knowledge"));
  origin["top_k"] = 4;
  spoilt.metadata["knowledge"] = origin.dump();
  refuses(spoilt, "\"top.logits\" has shape (90,3), \"top.indices\" (90,3); expected 4 of each");
  origin.erase("tau");
  spoilt.metadata["knowledge"] = origin.dump();
  refuses(spoilt, "knowledge.tau: is missing");
  expect_refusal(distill("gone", "refused"), cache("gone"));
}

// A window has logits at every step.
TEST_F(KnowledgeCacheTest, OfText) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += i % 3 ? "abcde\n" : "fab g\n";
  write_text(file("input.txt"), text);
  json config = run_file();
  config["data"] = {{"source", file("input.txt")}, {"format", "text"}, {"context", 8}};
  for (const char* model : {"teacher", "student"})
    config[model]["model"] = parse(R"({"layers": [{"type": "embedding", "num": 9, "dim": 4},
      {"type": "lstm", "hidden": 6}, {"type": "linear", "out": 9}]})");
  config["arms"] = {config["arms"][0]};
  write(config);
  const ModelSpec spec = read_model(config["teacher"]["model"], "", {8});
  save_weights(*build_model(spec, 1), weights_);
  live();
  ASSERT_EQ(encode("soft", weights_).code, 0);
  ASSERT_EQ(distill("soft", "whole").code, 0);
  EXPECT_EQ(result("whole", "soft")["digest"], result("live", "soft")["digest"]);
  ASSERT_EQ(encode("soft", weights_, {"--top-k", "4"}).code, 0);
  EXPECT_EQ(read_knowledge(cache("soft")).knowledge.top.logits.shape(), (Shape{27, 8, 4}));
  const Outcome outcome = distill("soft", "top");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

}  // namespace
}  // namespace limbeck::testing

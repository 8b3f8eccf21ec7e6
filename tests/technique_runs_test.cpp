// SPDX-License-Identifier: Apache-2.0
// Every technique in every mode, from the run files that are shipped.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <limbeck/tests/device_test.h>
#include <limbeck/tests/temporary_folder.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/progress.h>
#include <limbeck/tools/run.h>
#include <limbeck/tools/run_data.h>
#include <limbeck/tools/run_file.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

const std::filesystem::path kConfigs = std::filesystem::path(LIMBECK_SOURCE_DIR) / "tools/configs";

const std::vector<std::string> kTechniques = {"gaussian_laplace", "polynomial",
                                              "compressed_sensing", "semi_gaussian_laplace"};
const std::vector<std::string> kModes = {"forward", "reverse", "mutual"};

/// The same run with small models and two batches of drawn digits.
json shrunk(json file) {
  file["data"] = {{"source", "synthetic-digits"}, {"train_samples", 40}, {"test_samples", 20}};
  file["seeds"] = {0};
  for (const char* role : {"teacher", "student"}) {
    file[role]["recipe"]["epochs"] = 1;
    file[role]["recipe"]["batch"] = 20;
    file[role]["recipe"]["schedule"] = {{"type", "constant"}};
    for (json& layer : file[role]["model"]["layers"])
      if (layer.contains("out") && layer["out"] != 10)
        layer["out"] = std::string(role) == "teacher" ? 12 : 8;
  }
  return file;
}

std::vector<Result> run(const json& file, Device device, const std::string& folder) {
  const Experiment experiment = read_experiment(file);
  const RunData data = load_run_data(experiment.data);
  check_against_data(experiment, data);
  std::ostringstream out;
  ProgressLine progress(out, false);
  return run_experiment(experiment, data, RunFolder(folder, false), device, progress);
}

json cell_file(const std::string& name) {
  return read_run_file(kConfigs / "cells" / (name + ".json"));
}

class TechniqueRuns : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(All, TechniqueRuns, ::testing::ValuesIn(kTechniques),
                         [](const auto& test) { return test.param; });

TEST_P(TechniqueRuns, EveryModeTrainsFromItsOwnFile) {
  for (const std::string& mode : kModes) {
    const std::string name = GetParam() + "-" + mode;
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    const std::vector<Result> results =
        run(shrunk(cell_file(name)), Device::cpu(), folder.file("run"));
    ASSERT_EQ(results.size(), mode == "mutual" ? 4u : 3u);
    EXPECT_EQ(results[2].model, name);
    EXPECT_EQ(results[2].parameters == results[0].parameters, mode == "reverse");
    EXPECT_EQ(results[2].gap_recovered.has_value(), mode == "reverse");
    EXPECT_GT(results[2].knowledge_bytes, 10 * 4);  // more than logits
    EXPECT_EQ(results.back().model, mode == "mutual" ? name + "-teacher" : name);
  }
}

TEST_P(TechniqueRuns, EveryModeTrainsOnAGpu) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "no GPU";
  const TemporaryFolder folder;
  for (const std::string& mode : kModes)
    run(shrunk(cell_file(GetParam() + "-" + mode)), Device::cuda(), folder.file(mode));
}

TEST(TechniqueTable, HasTheArmsOfTheCells) {
  const json table = read_run_file(kConfigs / "mnist-techniques.json");
  for (const std::string& technique : kTechniques)
    for (const std::string& mode : kModes) {
      const json cell = cell_file(technique + "-" + mode);
      EXPECT_EQ(cell["teacher"], table["teacher"]);
      EXPECT_EQ(cell["student"], table["student"]);
      bool found = false;
      for (const json& arm : table["arms"]) found |= arm == cell["arms"][1];
      EXPECT_TRUE(found) << technique << " " << mode;
    }
}

TEST(TechniqueTable, RowsToCompareWithRun) {
  const TemporaryFolder folder;
  json file = shrunk(read_run_file(kConfigs / "mnist-feature-rows.json"));
  EXPECT_EQ(run(file, Device::cpu(), folder.file("run")).size(), 1 + file["arms"].size());
}

// Two taps at once, one of them of images, which meet on the smaller extents.
TEST(TechniqueTable, ConvolutionsAndSeveralTaps) {
  const TemporaryFolder folder;
  json file = read_run_file(kConfigs / "mnist-lenet.json");
  file = shrunk(file);
  json& layers = file["student"]["model"]["layers"];
  layers[3]["kernel"] = 3;  // 12x12 cells against 10x10
  for (const char* mode : {"forward", "reverse", "mutual"}) {
    json distill = {{"mode", mode}, {"tau", 4}, {"kd_weight", 0.5}, {"ce_weight", 1}};
    if (std::string(mode) == "reverse") distill["source"] = "alone";
    for (const char* technique : {"gaussian_laplace", "polynomial", "compressed_sensing",
                                  "channel_moments", "attention_transfer", "tensor_sketch", "hint"})
      distill["features"].push_back(
          {{"technique", technique}, {"student", "relu2"}, {"teacher", "relu2"}, {"weight", 0.1}});
    distill["features"].push_back(
        {{"technique", "pkt"}, {"student", "relu3"}, {"teacher", "relu3"}, {"weight", 0.1}});
    file["arms"] = {{{"name", "alone"}}, {{"name", "both"}, {"distill", distill}}};
    for (const Result& result : run(file, Device::cpu(), folder.file(mode)))
      EXPECT_TRUE(std::isfinite(result.test.nll)) << mode << " " << result.model;
  }
}

TEST(RunFile, StandsOnItsBase) {
  const TemporaryFolder folder;
  const auto write = [&](const char* name, const json& file) {
    std::ofstream(folder.file(name)) << file;
  };
  write("a.json", {{"x", {{"y", 1}, {"z", 2}}}, {"list", {1, 2}}});
  write("b.json", {{"base", "a.json"}, {"x", {{"y", 3}}}, {"list", {4}}});
  EXPECT_EQ(read_run_file(folder.file("b.json")),
            (json{{"x", {{"y", 3}, {"z", 2}}}, {"list", {4}}}));
  write("c.json", {{"base", "c.json"}});
  expect_error([&] { read_run_file(folder.file("c.json")); }, "expected at most 8");
  write("d.json", {{"base", 7}});
  expect_error([&] { read_run_file(folder.file("d.json")); },
               "d.json: base: is 7; expected the name of a run file");
}

}  // namespace
}  // namespace limbeck::testing

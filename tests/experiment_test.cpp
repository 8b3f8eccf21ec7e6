// SPDX-License-Identifier: Apache-2.0
// Run files: what is read, and each way one can be wrong.
#include <limbeck/tools/experiment.h>

#include <limbeck/tests/device_test.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/run.h>

namespace limbeck::testing {
namespace {

using nlohmann::json;

json small_experiment() {
  return parse_json(R"({
    "name": "small",
    "data": {"source": "synthetic-digits", "train_samples": 300, "test_samples": 100},
    "seeds": [0, 1],
    "teacher": {
      "model": {"layers": [{"type": "linear", "out": 10}]},
      "recipe": {"epochs": 1, "batch": 100, "max_jitter": 2,
                 "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0},
                 "schedule": {"type": "step", "step_size": 2, "gamma": 0.5}}},
    "student": {
      "model": {"layers": [{"type": "linear", "out": 8}, {"type": "relu"},
                           {"type": "linear", "out": 10}]},
      "recipe": {"epochs": 2, "batch": 100, "accumulate": 2,
                 "optimizer": {"type": "adamw", "lr": 0.01, "weight_decay": 0},
                 "schedule": {"type": "cosine"}}},
    "arms": [
      {"name": "hard", "reference": {"errors": 146}},
      {"name": "soft", "omit_classes": [3], "bias_sweep": [3],
       "distill": {"mode": "forward", "tau": 20, "kd_weight": 1, "ce_weight": 0}}]
  })",
                    "small");
}

TEST(Experiment, ReadsEveryPart) {
  const Experiment e = read_experiment(small_experiment());
  EXPECT_EQ(e.name, "small");
  EXPECT_EQ(e.data.synthetic.train_samples, 300);
  EXPECT_EQ(e.seeds, (std::vector<std::uint64_t>{0, 1}));
  const Recipe& teacher = *e.teacher->recipe;
  EXPECT_EQ(std::get<SgdConfig>(teacher.optimizer).momentum, 0.9);
  EXPECT_EQ(teacher.schedule.kind, ScheduleKind::step);
  EXPECT_EQ(teacher.augment.vary.max_jitter, 2);
  ASSERT_EQ(e.arms.size(), 2u);
  EXPECT_FALSE(e.arms[0].distill);
  EXPECT_EQ(e.arms[0].reference.errors, 146);
  EXPECT_EQ(e.arms[1].distill->logits.tau, 20);
  EXPECT_EQ(e.arms[1].recipe.accumulate, 2);
  EXPECT_EQ(e.arms[1].recipe.schedule.lr, 0.01);
  EXPECT_EQ(e.arms[1].model.layers.size(), 3u);
  EXPECT_EQ(e.arms[1].omit_classes, std::vector<std::int64_t>{3});
}

TEST(Experiment, RecipesMixImagesAndSmoothLabels) {
  json file = small_experiment();
  set_json_value(file, R"(student.recipe.augment={"flip": true, "mixup": 0.2, "cutmix": 1})");
  set_json_value(file, "student.recipe.label_smoothing=0.1");
  const Experiment e = read_experiment(file);
  EXPECT_EQ(e.arms[1].recipe.augment.mix.mixup, 0.2);
  EXPECT_EQ(e.arms[1].recipe.augment.mix.cutmix, 1);
  EXPECT_EQ(e.arms[1].recipe.label_smoothing, 0.1);
  EXPECT_FALSE(e.teacher->recipe->augment.mix.any());
  EXPECT_EQ(e.teacher->recipe->label_smoothing, 0);
}

TEST(Experiment, OptimisersHaveGroupsClippingAndScaling) {
  json file = small_experiment();
  file["student"]["recipe"]["precision"] = "f16";
  file["student"]["recipe"]["ema_decay"] = 0.99;
  file["student"]["recipe"]["optimizer"].update(
      {{"max_grad_norm", 0.5},
       {"loss_scale", 1024},
       {"groups", json::parse(R"([{"match": "2.*", "lr_scale": 0.1, "weight_decay": 0.3}])")}});
  const Recipe recipe = read_experiment(file).arms[0].recipe;
  EXPECT_EQ(recipe.precision, DType::f16);
  EXPECT_EQ(recipe.ema_decay, 0.99);
  const ParameterConfig& config = std::get<AdamwConfig>(recipe.optimizer).parameters;
  EXPECT_EQ(config.gradients.max_norm, 0.5);
  EXPECT_EQ(config.gradients.loss_scaling->initial, 1024);
  ASSERT_EQ(config.groups.size(), 1u);
  EXPECT_EQ(config.groups[0].match, "2.*");
  EXPECT_EQ(config.groups[0].lr_scale, 0.1);
  EXPECT_EQ(config.groups[0].weight_decay, 0.3);
}

TEST(Experiment, WithoutArmsThereIsTheStudent) {
  json file = small_experiment();
  file.erase("arms");
  file.erase("teacher");
  const Experiment e = read_experiment(file);
  ASSERT_EQ(e.arms.size(), 1u);
  EXPECT_EQ(e.arms[0].name, "student");
  EXPECT_FALSE(e.arms[0].distill);
}

void refuses(const std::string& assignment, const std::string& message) {
  json file = small_experiment();
  set_json_value(file, assignment);
  expect_error([&] { read_experiment(file); }, message);
}

void misses(const char* pointer, const std::string& message) {
  json file = small_experiment();
  const json::json_pointer place(pointer);
  file[place.parent_pointer()].erase(place.back());
  expect_error([&] { read_experiment(file); }, message);
}

TEST(Experiment, WhatChangesTheObjectiveHasNoDefault) {
  misses("/arms/1/distill/tau", "arms.1.distill.tau: is missing; it has no default");
  misses("/arms/1/distill/kd_weight", "arms.1.distill.kd_weight: is missing");
  misses("/arms/1/distill/ce_weight", "arms.1.distill.ce_weight: is missing");
  misses("/arms/1/distill/mode", "arms.1.distill.mode: is missing");
  misses("/student/recipe/optimizer/lr", "student.recipe.optimizer.lr: is missing");
  misses("/student/recipe/optimizer/weight_decay", "optimizer.weight_decay: is missing");
  misses("/teacher/recipe/optimizer/momentum", "teacher.recipe.optimizer.momentum: is missing");
  misses("/student/recipe/schedule", "student.recipe.schedule: is missing");
  misses("/teacher/recipe/schedule/gamma", "teacher.recipe.schedule.gamma: is missing");
  misses("/student/recipe/epochs", "student.recipe.epochs: is missing");
  misses("/student/recipe/batch", "student.recipe.batch: is missing");
  misses("/student/model", "student.model: is missing");
  misses("/seeds", "seeds: is missing");
  misses("/data/source", "data.source: is missing");
}

TEST(Experiment, DataHasAFormatAndIsNormalized) {
  json file = small_experiment();
  file["data"] = {{"source", "photographs"},
                  {"format", "cifar10"},
                  {"mean", {0.5, 0.4, 0.3}},
                  {"std", {0.25, 0.2, 0.1}}};
  const DataConfig data = read_experiment(file).data;
  EXPECT_EQ(data.folder.format, "cifar10");
  EXPECT_EQ(data.input.mean, (std::vector<double>{0.5, 0.4, 0.3}));
  EXPECT_EQ(write_preprocess(data.input), (json{{"scale", data.input.scale},
                                                {"shift", 0.0},
                                                {"mean", {0.5, 0.4, 0.3}},
                                                {"std", {0.25, 0.2, 0.1}}}));
  EXPECT_EQ(read_experiment(small_experiment()).data.folder.format, "idx");
  file["data"] = {{"source", "x"}, {"format", "folder"}, {"size", {48, 64}}, {"channels", 1}};
  const FolderImages images = read_experiment(file).data.folder.images;
  EXPECT_EQ(images.size, (ImageSize{48, 64}));
  EXPECT_EQ(images.channels, 1);
  refuses("data.size=[4,4]", "data.size: is of format folder alone, not of idx; expected none");
  refuses(R"(data={"source":"x","format":"folder","size":[4]})",
          "data.size: has 1 numbers; expected height and width");
  refuses(R"(data={"source":"x","format":"folder","channels":2})",
          "data.channels: is 2; expected 1 or 3");
  refuses("data.format=idx", "data.format: synthetic-digits is drawn, not read");
  refuses("data.mean=[0.5]", "data.mean: has 1 numbers, std 0; expected one each");
  refuses("data={\"source\":\"x\",\"mean\":[0],\"std\":[0]}", "data.std: names 0; expected");
  refuses("data={\"source\":\"x\",\"mean\":[\"a\"]}", "data.mean.0: is \"a\"; expected a number");
  refuses("data={\"source\":\"x\",\"format\":\"cifar\"}",
          "data.format: unknown format \"cifar\"; did you mean \"cifar10\"?");
}

TEST(Experiment, UnknownKeysAndWordsNameTheNearest) {
  refuses("student.recipe.epoch=3", "student.recipe.epoch: unknown key; did you mean \"epochs\"?");
  refuses("arms.1.distill.temperature=3", "arms.1.distill.temperature: unknown key");
  refuses("arms.1.omit_class=[3]",
          "arms.1.omit_class: unknown key; did you mean \"omit_classes\"?");
  refuses("student.model.layers.0.outs=3",
          "student.model.layers.0.outs: unknown key; did you mean \"out\"?");
  refuses("student.model.layers.1.out=3", "student.model.layers.1.out: unknown key");
  refuses("student.model.layers.1.type=relo",
          "layers.1.type: unknown layer \"relo\"; did you mean \"relu\"?");
  refuses("student.recipe.optimizer.type=adam",
          "optimizer.type: unknown type \"adam\"; did you mean \"adamw\"?");
  refuses("student.recipe.optimizer.momentum=0.9",
          "student.recipe.optimizer.momentum: unknown key");
  refuses("student.recipe.schedule.type=cosin", "did you mean \"cosine\"?");
  refuses("student.recipe.schedule.gamma=0.1", "student.recipe.schedule.gamma: unknown key");
  refuses("arms.1.distill.mode=backward",
          "distill.mode: unknown mode \"backward\"; did you mean \"forward\"?");
  refuses("sedes=[1]", "sedes: unknown key; did you mean \"seeds\"?");
}

TEST(Experiment, WrongTypesAndValues) {
  refuses("student.recipe.precision=f8",
          "student.recipe.precision: is \"f8\"; expected f32, bf16 or f16");
  refuses("student.recipe.label_smoothing=1",
          "label_smoothing: is 1; expected 0 <= label_smoothing");
  refuses("student.recipe.augment={\"mixup\": -1}", "augment.mixup: is -1; expected >= 0");
  refuses("student.recipe.optimizer.max_grad_norm=0",
          "student.recipe.optimizer.max_grad_norm: is 0; expected > 0");
  refuses("student.recipe.optimizer.groups=[{\"lr_scale\": 1}]",
          "student.recipe.optimizer.groups.0.match: is missing");
  refuses("student.recipe.epochs=\"3\"",
          "student.recipe.epochs: is string \"3\"; expected an integer");
  refuses("student.recipe.epochs=0", "student.recipe.epochs: is 0; expected at least 1");
  refuses("student.recipe.batch=1.5", "student.recipe.batch: is number 1.5; expected an integer");
  refuses("student.recipe.accumulate=101",
          "accumulate: is 101; expected at most batch, which is 100");
  refuses("arms.1.distill.tau=0", "arms.1.distill.tau: is 0; expected > 0");
  refuses("arms.1.distill.kd_weight=-1", "arms.1.distill.kd_weight: is -1; expected >= 0");
  refuses("arms.1.distill.kd_weight=0", "every weight is 0; expected one above 0");
  refuses("arms.1.distill.tvd_weight=-1", "arms.1.distill.tvd_weight: is -1; expected >= 0");
  refuses("arms.1.distill.jsd_weight=1", "arms.1.distill.jsd_beta: is missing");
  refuses("teacher.recipe.optimizer.momentum=1", "expected 0 <= momentum < 1");
  refuses("student.recipe.optimizer.lr=-0.1",
          "student.recipe.optimizer.lr: is -0.1; expected >= 0");
  refuses("student.recipe.optimizer.eps=0", "student.recipe.optimizer.eps: is 0; expected > 0");
  refuses("seeds=[]", "seeds: is empty; expected at least one");
  refuses("seeds=[1,1]", "seeds: names a seed twice");
  refuses("arms=[]", "arms: is empty; expected at least one student");
  refuses("arms.0.name=soft", "arms.1.name: \"soft\" is taken");
  refuses("arms.0.name=teacher", "arms.0.name: \"teacher\" is taken");
  refuses("arms.0.name=a/b", "arms.0.name: is \"a/b\"; expected letters, digits, - and _");
  refuses("arms.1.only_classes=[7]", "arms.1: has both omit_classes and only_classes");
  refuses("arms.1.bias_sweep=[3,3]", "arms.1.bias_sweep: names a class twice");
  refuses("student.model.layers=[]", "student.model.layers: is empty");
  refuses("teacher.dtype=f8", "teacher.dtype: is \"f8\"; expected f32, bf16 or f16");
  refuses("teacher.names=n.json", "teacher.names: is about weights, of which there are none");
  refuses("teacher.weights=t.safetensors", "teacher: has both of recipe");
  misses("/teacher/recipe", "teacher: has neither of recipe");
  misses("/teacher", "arms.1.distill: there is no teacher in this file");
}

TEST(Experiment, IsCheckedAgainstTheData) {
  Dataset data;
  data.images = Tensor::zeros({2, 28, 28, 1}, DType::u8);
  data.classes = 10;
  data.name = "digits";
  const auto refuses_data = [&](const std::string& assignment, const std::string& message) {
    json file = small_experiment();
    set_json_value(file, assignment);
    const Experiment e = read_experiment(file);
    expect_error([&] { check_against_data(e, {{data, data}}); }, message);
  };
  EXPECT_NO_THROW(check_against_data(read_experiment(small_experiment()), {{data, data}}));
  refuses_data("teacher.model.layers.0.out=9",
               "teacher.model: gives (1,9) per image; digits has 10 classes");
  refuses_data(R"(data={"source":"x","mean":[0,0,0],"std":[1,1,1]})",
               "data.mean: has 3 numbers; digits has 1 channels");
  refuses_data("arms.1.omit_classes=[10]", "arms.1.omit_classes: class 10; digits has 10");
  refuses_data("arms.1.bias_sweep=[0,1,2,3,4,5,6,7,8,9]", "arms.1.bias_sweep: names every class");
  refuses_data(R"(student.model.layers.0={"type":"conv2d","out":2,"kernel":40})", "arms.0.model: ");
}

TEST(ModelJson, RoundTrip) {
  const json model = {{"input", {28, 28, 1}},
                      {"layers",
                       {{{"type", "conv2d"},
                         {"name", "c"},
                         {"out", 4},
                         {"kernel", 3},
                         {"stride", 2},
                         {"padding", 1},
                         {"bias", false}},
                        {{"type", "relu"}},
                        {{"type", "max_pool2d"}, {"kernel", 2}, {"stride", 2}},
                        {{"type", "flatten"}},
                        {{"type", "dropout"}, {"p", 0.25}},
                        {{"type", "linear"}, {"out", 10}}}}};
  EXPECT_EQ(write_model(read_model_with_input(model, "")), model);
}

}  // namespace
}  // namespace limbeck::testing

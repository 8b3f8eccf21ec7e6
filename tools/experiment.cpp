// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/experiment.h>

#include <algorithm>
#include <set>

#include <limbeck/tools/distill_json.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/model_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/recipe_json.h>

namespace limbeck {

using nlohmann::json;

namespace {

FolderOptions read_folder(const JsonObject& data, const std::string& source) {
  FolderOptions folder;
  LIMBECK_CHECK(!data.has("format") || source != "synthetic-digits", data.path("format"),
                ": synthetic-digits is drawn, not read; expected no format");
  folder.format = data.text("format", folder.format);
  const auto formats = {"idx", "cifar10", "cifar100", "npy", "folder"};
  LIMBECK_CHECK(std::find(formats.begin(), formats.end(), folder.format) != formats.end(),
                data.path("format"), ": unknown format \"", folder.format, "\"; did you mean \"",
                nearest_word(folder.format,
                             {"idx", "cifar10", "cifar100", "npy", "folder", "text", "tokens"}),
                "\"?");
  for (const char* key : {"size", "channels"})
    LIMBECK_CHECK(!data.has(key) || folder.format == "folder", data.path(key),
                  ": is of format "
                  "folder alone, not of ",
                  folder.format, "; expected none");
  if (data.has("size")) {
    const std::vector<std::int64_t> size = data.integers("size", 1);
    LIMBECK_CHECK(size.size() == 2, data.path("size"), ": has ", size.size(),
                  " numbers; expected height and width");
    folder.images.size = {size[0], size[1]};
  }
  folder.images.channels = static_cast<int>(data.integer("channels", 1, folder.images.channels));
  LIMBECK_CHECK(folder.images.channels == 1 || folder.images.channels == 3, data.path("channels"),
                ": is ", folder.images.channels, "; expected 1 or 3");
  return folder;
}

/// Data whose format is text or tokens has keys of its own.
DataConfig read_text_data(const json& value, const std::string& path, const std::string& format) {
  const bool tokens = format == "tokens";
  const JsonObject data =
      tokens
          ? JsonObject(value, path,
                       {"source", "format", "context", "vocabulary", "token_bytes", "validation"})
          : JsonObject(value, path, {"source", "format", "context", "tokenizer", "validation"});
  DataConfig config;
  config.source = data.text("source");
  TextOptions& text = config.text.emplace();
  text.format = format;
  text.context = data.integer("context", 1);
  text.tokenizer = data.text("tokenizer", text.tokenizer);
  if (tokens) text.vocabulary = data.integer("vocabulary", 1);
  text.token_bytes = static_cast<int>(data.integer("token_bytes", 2, text.token_bytes));
  LIMBECK_CHECK(text.token_bytes == 2 || text.token_bytes == 4, data.path("token_bytes"), ": is ",
                text.token_bytes, "; expected 2 or 4");
  text.validation = data.number("validation", text.validation);
  LIMBECK_CHECK(text.validation > 0 && text.validation < 1, data.path("validation"), ": is ",
                text.validation, "; expected between 0 and 1");
  return config;
}

DataConfig read_data(const json& value, const std::string& path) {
  if (value.is_object())
    for (const char* format : {"text", "tokens"})
      if (value.value("format", json()) == format) return read_text_data(value, path, format);
  const JsonObject data(value, path,
                        {"source", "format", "train_samples", "test_samples", "seed", "scale",
                         "shift", "mean", "std", "size", "channels"});
  DataConfig config;
  config.source = data.text("source");
  SyntheticOptions& drawn = config.synthetic;
  drawn.train_samples = data.integer("train_samples", 1, drawn.train_samples);
  drawn.test_samples = data.integer("test_samples", 1, drawn.test_samples);
  drawn.seed = static_cast<std::uint64_t>(data.integer("seed", 0, 0));
  config.folder = read_folder(data, config.source);
  config.input = read_preprocess(data);
  return config;
}

std::optional<double> optional_number(const JsonObject& object, const char* key) {
  return object.has(key) ? std::optional(object.number(key)) : std::nullopt;
}

Reference read_reference(const JsonObject& owner) {
  if (!owner.has("reference")) return {};
  const JsonObject object(owner.at("reference"), owner.path("reference"),
                          {"errors", "swept_errors", "best_errors", "best_swept_errors"});
  return {optional_number(object, "errors"), optional_number(object, "swept_errors"),
          optional_number(object, "best_errors"), optional_number(object, "best_swept_errors")};
}

TeacherConfig read_teacher(const json& value, const std::string& path) {
  const JsonObject object(value, path,
                          {"model", "recipe", "weights", "names", "strict", "dtype", "reference"});
  TeacherConfig teacher;
  teacher.model = read_model(object.at("model"), object.path("model"), {});
  LIMBECK_CHECK(object.has("recipe") != object.has("weights"), path, ": has ",
                object.has("recipe") ? "both" : "neither",
                " of recipe (train it here) and weights (read a file); expected one");
  if (object.has("recipe"))
    teacher.recipe = read_recipe(object.at("recipe"), object.path("recipe"));
  else
    teacher.weights = object.text("weights");
  for (const char* key : {"names", "strict"})
    LIMBECK_CHECK(!object.has(key) || object.has("weights"), object.path(key),
                  ": is about weights, of which there are none; expected both or neither");
  teacher.names = object.text("names", "");
  teacher.match = object.flag("strict", true) ? Match::strict : Match::lenient;
  if (object.has("dtype")) teacher.dtype = read_dtype(object, "dtype");
  teacher.reference = read_reference(object);
  return teacher;
}

/// The model and the recipe of arms that have none of their own.
Arm read_student(const json& value, const std::string& path) {
  const JsonObject object(value, path, {"model", "recipe"});
  Arm student;
  student.name = "student";
  student.model = read_model(object.at("model"), object.path("model"), {});
  student.recipe = read_recipe(object.at("recipe"), object.path("recipe"));
  return student;
}

std::string read_name(const JsonObject& object) {
  std::string name = object.text("name");
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_';
  });
  LIMBECK_CHECK(plain && !name.empty(), object.path("name"), ": is \"", name,
                "\"; expected letters, digits, - and _, because it names a folder");
  return name;
}

std::vector<std::int64_t> read_classes(const JsonObject& object, const char* key) {
  std::vector<std::int64_t> list = object.integers(key, 0);
  LIMBECK_CHECK(std::set(list.begin(), list.end()).size() == list.size(), object.path(key),
                ": names a class twice");
  return list;
}

/// What learns in an arm that says nothing of it.
void set_learners(Arm& arm, const Arm& student, const std::optional<TeacherConfig>& teacher) {
  arm.model = student.model;
  arm.recipe = student.recipe;
  if (!arm.distill || arm.distill->mode == Mode::forward) return;
  LIMBECK_CHECK(teacher, "arms.", arm.name,
                ".distill: there is no teacher in this file whose shape the learner could have; "
                "expected one under \"teacher\"");
  if (arm.distill->mode == Mode::mutual) {
    arm.partner = *teacher;
    return;
  }
  arm.model = teacher->model;
  if (teacher->recipe) arm.recipe = *teacher->recipe;
}

/// Models that learn from each other see the same batches.
void share_batches(Arm& arm) {
  if (!arm.partner) return;
  if (!arm.partner->recipe) arm.partner->recipe = arm.recipe;
  Recipe& recipe = *arm.partner->recipe;
  recipe.epochs = arm.recipe.epochs;
  recipe.batch = arm.recipe.batch;
  recipe.accumulate = arm.recipe.accumulate;
  recipe.augment = arm.recipe.augment;
}

Arm read_arm(const json& value, const std::string& path, const Arm& student,
             const std::optional<TeacherConfig>& teacher) {
  const JsonObject object(value, path,
                          {"name", "model", "recipe", "distill", "omit_classes", "only_classes",
                           "bias_sweep", "reference"});
  Arm arm;
  arm.name = read_name(object);
  if (object.has("distill"))
    arm.distill = read_distill(object.at("distill"), object.path("distill"));
  set_learners(arm, student, teacher);
  if (object.has("model")) arm.model = read_model(object.at("model"), object.path("model"), {});
  if (object.has("recipe")) arm.recipe = read_recipe(object.at("recipe"), object.path("recipe"));
  share_batches(arm);
  arm.omit_classes = read_classes(object, "omit_classes");
  arm.only_classes = read_classes(object, "only_classes");
  LIMBECK_CHECK(arm.omit_classes.empty() || arm.only_classes.empty(), path,
                ": has both omit_classes and only_classes; expected at most one");
  arm.bias_sweep = read_classes(object, "bias_sweep");
  arm.reference = read_reference(object);
  return arm;
}

/// A source is the teacher or an arm that was trained before.
void check_source(const Arm& arm, const std::string& path, const std::set<std::string>& known,
                  bool has_teacher) {
  if (!arm.distill || arm.distill->source.empty()) return;
  const std::string& source = arm.distill->source;
  LIMBECK_CHECK(source != "teacher" || has_teacher, path,
                ".distill: there is no teacher in this file; expected one under \"teacher\"");
  LIMBECK_CHECK(known.contains(source), path, ".distill.source: is \"", source,
                "\"; expected \"teacher\" or the name of an earlier arm");
}

std::vector<Arm> read_arms(const JsonObject& file, const Arm& student,
                           const std::optional<TeacherConfig>& teacher) {
  if (!file.has("arms")) return {student};
  std::vector<Arm> arms;
  std::set<std::string> names = {"teacher"};
  for (const auto& [value, path] : file.elements("arms")) {
    arms.push_back(read_arm(value, path, student, teacher));
    check_source(arms.back(), path, names, teacher.has_value());
    for (const std::string& name : learner_names(arms.back()))
      LIMBECK_CHECK(names.insert(name).second, path, ".name: \"", name,
                    "\" is taken; expected names of their own");
  }
  LIMBECK_CHECK(!arms.empty(), "arms: is empty; expected at least one student");
  return arms;
}

std::vector<std::uint64_t> read_seeds(const JsonObject& file) {
  file.at("seeds");
  const std::vector<std::int64_t> list = file.integers("seeds", 0);
  LIMBECK_CHECK(!list.empty(), "seeds: is empty; expected at least one");
  LIMBECK_CHECK(std::set(list.begin(), list.end()).size() == list.size(),
                "seeds: names a seed twice");
  return {list.begin(), list.end()};
}

}  // namespace

std::vector<std::string> learner_names(const Arm& arm) {
  std::vector<std::string> names = {arm.name};
  if (!arm.partner) return names;
  for (std::size_t i = 1; i < arm.distill->students; ++i)
    names.push_back(detail::concat(arm.name, "-", i + 1));
  names.push_back(arm.name + "-teacher");
  return names;
}

const ModelSpec& learner_model(const Experiment& experiment, const std::string& name) {
  if (name == kTeacherName) return experiment.teacher->model;
  for (const Arm& arm : experiment.arms) {
    const std::vector<std::string> names = learner_names(arm);
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    return arm.partner && name == names.back() ? arm.partner->model : arm.model;
  }
  throw std::invalid_argument("no arm is named \"" + name + "\"");
}

Experiment read_experiment(const json& value) {
  const JsonObject file(
      value, "",
      {"name", "data", "seeds", "teacher", "student", "arms", "report_every", "checkpoint_every"});
  Experiment experiment;
  experiment.name = read_name(file);
  experiment.data = read_data(file.at("data"), "data");
  experiment.seeds = read_seeds(file);
  if (file.has("teacher")) experiment.teacher = read_teacher(file.at("teacher"), "teacher");
  const Arm student = read_student(file.at("student"), "student");
  experiment.arms = read_arms(file, student, experiment.teacher);
  experiment.report_every = file.integer("report_every", 1, experiment.report_every);
  experiment.checkpoint_every = file.integer("checkpoint_every", 0, experiment.checkpoint_every);
  return experiment;
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/run_data.h>

#include <algorithm>

#include <limbeck/core/error.h>
#include <limbeck/kernels/topk.h>

namespace limbeck {
namespace {

/// One sample's shape as a batch of one.
Shape batch_of_one(const Shape& sample) {
  std::vector<std::int64_t> dims = {1};
  dims.insert(dims.end(), sample.begin(), sample.end());
  return Shape(std::span<const std::int64_t>(dims));
}

void check_model(ModelSpec spec, const std::string& path, const RunData& data) {
  spec.input = data.input();
  try {
    const Shape out = build_model(spec, 0)->output_shape(batch_of_one(spec.input));
    const Shape logits = batch_of_one(data.output());
    if (data.text)
      LIMBECK_CHECK(out == logits, "gives ", out, " per window; expected ", logits, ", logits of ",
                    "every token after each of ", data.name());
    else
      LIMBECK_CHECK(out == logits, "gives ", out, " per image; ", data.name(), " has ",
                    data.images.train.classes, " classes");
  } catch (const std::invalid_argument& e) {
    throw std::invalid_argument(path + ": " + e.what());
  }
}

void check_classes(const std::vector<std::int64_t>& list, const std::string& path,
                   const RunData& data) {
  LIMBECK_CHECK(!data.text || list.empty(), path, ": ", data.name(),
                " is text; expected images, which have classes");
  const std::int64_t classes = data.output()[0];
  for (const std::int64_t c : list)
    LIMBECK_CHECK(c < classes, path, ": class ", c, "; ", data.name(), " has ", classes);
  LIMBECK_CHECK(static_cast<std::int64_t>(list.size()) < classes, path,
                ": names every class; expected fewer");
}

void check_top_k(const Arm& arm, const std::string& path, const RunData& data) {
  const std::int64_t most = std::min(data.output()[-1], kMaxTopk);
  const std::int64_t top_k = arm.distill ? arm.distill->top_k : 0;
  LIMBECK_CHECK(top_k == 0 || !arm.recipe.augment.any(), path, ".distill.top_k: is ", top_k,
                ", of logits computed once for images that the recipe varies; expected no augment");
  LIMBECK_CHECK(top_k <= most, path, ".distill.top_k: is ", top_k, "; ", data.name(), " has ",
                data.output()[-1], " classes; expected at most ", most);
}

void check_recipe(const Recipe& recipe, const std::string& path, const RunData& data) {
  LIMBECK_CHECK(!data.text || !recipe.augment.any(), path, ".augment: ", data.name(),
                " is text; expected images, which can be varied");
}

}  // namespace

Shape RunData::input() const {
  if (text) return {text->train.context};
  return images.train.image_shape();
}

Shape RunData::output() const {
  if (text) return {text->train.context, text->train.vocabulary};
  return {images.train.classes};
}

std::string RunData::name() const { return text ? text->train.name : images.train.name; }

std::string RunData::train_digest() const {
  return text ? text->train.digest : images.train.digest;
}

std::string RunData::test_digest() const { return text ? text->test.digest : images.test.digest; }

RunData load_run_data(const DataConfig& config) {
  if (config.text) return {{}, load_text(config.source, *config.text)};
  return {load_dataset(config.source, config.synthetic, config.folder)};
}

void check_against_data(const Experiment& experiment, const RunData& data) {
  const auto means = static_cast<std::int64_t>(experiment.data.input.mean.size());
  LIMBECK_CHECK(means == 0 || means == data.input()[2], "data.mean: has ", means, " numbers; ",
                data.name(), " has ", data.input()[2], " channels");
  if (experiment.teacher) {
    check_model(experiment.teacher->model, "teacher.model", data);
    if (experiment.teacher->recipe)
      check_recipe(*experiment.teacher->recipe, "teacher.recipe", data);
  }
  for (std::size_t i = 0; i < experiment.arms.size(); ++i) {
    const Arm& arm = experiment.arms[i];
    const std::string path = detail::concat("arms.", i);
    check_model(arm.model, path + ".model", data);
    check_recipe(arm.recipe, path + ".recipe", data);
    check_top_k(arm, path, data);
    check_classes(arm.omit_classes, path + ".omit_classes", data);
    check_classes(arm.only_classes, path + ".only_classes", data);
    check_classes(arm.bias_sweep, path + ".bias_sweep", data);
  }
}

}  // namespace limbeck

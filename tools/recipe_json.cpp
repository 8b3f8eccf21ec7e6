// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/recipe_json.h>

#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

void check_keys(const json& value, const std::string& path,
                std::initializer_list<std::string_view> keys) {
  const JsonObject checked(value, path, keys);
}

/// A number in [0, 1).
double fraction(const JsonObject& object, const char* key, std::optional<double> fallback = {}) {
  const double value = object.number(key, fallback);
  LIMBECK_CHECK(value >= 0 && value < 1, object.path(key), ": is ", value, "; expected 0 <= ", key,
                " < 1");
  return value;
}

ParameterGroup read_group(const json& value, const std::string& path) {
  const JsonObject object(value, path, {"match", "lr_scale", "weight_decay"});
  ParameterGroup group;
  group.match = object.text("match");
  group.lr_scale = object.at_least_zero("lr_scale", 1);
  if (object.has("weight_decay")) group.weight_decay = object.at_least_zero("weight_decay");
  return group;
}

double above_zero(const JsonObject& object, const char* key) {
  const double value = object.number(key);
  LIMBECK_CHECK(value > 0, object.path(key), ": is ", value, "; expected > 0");
  return value;
}

/// What every optimiser has.
ParameterConfig read_parameters(const JsonObject& object, std::optional<double> weight_decay) {
  ParameterConfig config;
  config.weight_decay = object.at_least_zero("weight_decay", weight_decay);
  config.decay_biases = object.flag("decay_biases", true);
  if (object.has("groups"))
    for (const auto& [value, path] : object.elements("groups"))
      config.groups.push_back(read_group(value, path));
  if (object.has("max_grad_norm")) config.gradients.max_norm = above_zero(object, "max_grad_norm");
  if (object.has("loss_scale"))
    config.gradients.loss_scaling = LossScaling{above_zero(object, "loss_scale")};
  return config;
}

SgdConfig read_sgd(const json& value, const std::string& path) {
  const JsonObject sgd(value, path,
                       {"type", "lr", "momentum", "nesterov", "weight_decay", "decay_biases",
                        "groups", "max_grad_norm", "loss_scale"});
  return {.momentum = fraction(sgd, "momentum"),
          .nesterov = sgd.flag("nesterov", false),
          .parameters = read_parameters(sgd, {})};
}

AdamwConfig read_adamw(const json& value, const std::string& path) {
  const JsonObject adamw(value, path,
                         {"type", "lr", "beta1", "beta2", "eps", "weight_decay", "decay_biases",
                          "groups", "max_grad_norm", "loss_scale"});
  return {.beta1 = fraction(adamw, "beta1", 0.9),
          .beta2 = fraction(adamw, "beta2", 0.999),
          .eps = adamw.has("eps") ? above_zero(adamw, "eps") : 1e-8,
          .parameters = read_parameters(adamw, {})};
}

/// The object with any optimiser's keys.
JsonObject any_optimizer(const json& value, const std::string& path) {
  return {value,
          path,
          {"type", "lr", "momentum", "nesterov", "weight_decay", "decay_biases", "beta1", "beta2",
           "eps", "groups", "max_grad_norm", "loss_scale"}};
}

std::variant<SgdConfig, AdamwConfig> read_optimizer(const json& value, const std::string& path) {
  const JsonObject any = any_optimizer(value, path);
  if (any.choice("type", {"sgd", "adamw"}) == "sgd") return read_sgd(value, path);
  return read_adamw(value, path);
}

Schedule read_schedule(const json& value, const std::string& path, double lr) {
  const JsonObject any(value, path,
                       {"type", "warmup_steps", "total_steps", "final_lr", "step_size", "gamma"});
  Schedule schedule;
  schedule.lr = lr;
  schedule.warmup_steps = any.integer("warmup_steps", 0, 0);
  const std::string type = any.choice("type", {"constant", "cosine", "step"});
  if (type == "constant") {
    check_keys(value, path, {"type", "warmup_steps"});
  } else if (type == "cosine") {
    check_keys(value, path, {"type", "warmup_steps", "total_steps", "final_lr"});
    schedule.kind = ScheduleKind::cosine;
    schedule.total_steps = any.integer("total_steps", 1, 0);
    schedule.final_lr = any.at_least_zero("final_lr", 0);
  } else {
    check_keys(value, path, {"type", "warmup_steps", "step_size", "gamma"});
    schedule.kind = ScheduleKind::step;
    schedule.step_size = any.integer("step_size", 1);
    schedule.gamma = any.at_least_zero("gamma");
  }
  return schedule;
}

/// A number in [0, 1].
float share(const JsonObject& object, const char* key) {
  const double value = object.number(key, 0);
  LIMBECK_CHECK(value >= 0 && value <= 1, object.path(key), ": is ", value, "; expected 0 to 1");
  return static_cast<float>(value);
}

Augment read_augment(const json& value, const std::string& path) {
  const JsonObject object(value, path,
                          {"crop", "pad", "flip", "brightness", "contrast", "mixup", "cutmix"});
  Augment augment;
  augment.vary.max_jitter = static_cast<int>(object.integer("crop", 0, 0));
  augment.vary.reflect = object.choice("pad", {"zero", "reflect"}, "zero") == "reflect";
  augment.vary.flip = object.flag("flip", false);
  augment.vary.brightness = share(object, "brightness");
  augment.vary.contrast = share(object, "contrast");
  augment.mix.mixup = object.at_least_zero("mixup", 0);
  augment.mix.cutmix = object.at_least_zero("cutmix", 0);
  return augment;
}

}  // namespace

DType read_dtype(const JsonObject& object, const char* key) {
  const std::string name = object.text(key);
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16})
    if (name == dtype_name(dtype)) return dtype;
  throw std::invalid_argument(object.path(key) + ": is \"" + name +
                              "\"; expected f32, bf16 or f16");
}

Recipe read_recipe(const json& value, const std::string& path) {
  const JsonObject object(value, path,
                          {"epochs", "batch", "accumulate", "max_jitter", "augment", "precision",
                           "label_smoothing", "ema_decay", "optimizer", "schedule"});
  Recipe recipe;
  recipe.epochs = object.integer("epochs", 1);
  recipe.batch = object.integer("batch", 1);
  recipe.accumulate = object.integer("accumulate", 1, 1);
  LIMBECK_CHECK(recipe.accumulate <= recipe.batch, object.path("accumulate"), ": is ",
                recipe.accumulate, "; expected at most batch, which is ", recipe.batch);
  if (object.has("augment"))
    recipe.augment = read_augment(object.at("augment"), object.path("augment"));
  if (object.has("max_jitter")) {
    LIMBECK_CHECK(recipe.augment.vary.max_jitter == 0, object.path("max_jitter"),
                  ": is another name of augment.crop; expected one of them");
    recipe.augment.vary.max_jitter = static_cast<int>(object.integer("max_jitter", 0));
  }
  if (object.has("precision")) recipe.precision = read_dtype(object, "precision");
  recipe.label_smoothing = fraction(object, "label_smoothing", 0);
  if (object.has("ema_decay")) recipe.ema_decay = fraction(object, "ema_decay");
  recipe.optimizer = read_optimizer(object.at("optimizer"), object.path("optimizer"));
  const JsonObject optimizer = any_optimizer(object.at("optimizer"), object.path("optimizer"));
  recipe.schedule =
      read_schedule(object.at("schedule"), object.path("schedule"), optimizer.at_least_zero("lr"));
  return recipe;
}

}  // namespace limbeck

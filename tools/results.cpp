// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/results.h>

#include <limits>

#include <limbeck/tools/json_object.h>

namespace limbeck {

using nlohmann::json;

namespace {

/// JSON has no NaN: it is written as null.
double number_or_nan(const JsonObject& object, const char* key) {
  return object.at(key).is_null() ? std::numeric_limits<double>::quiet_NaN() : object.number(key);
}

Metrics read_metrics(const JsonObject& owner) {
  const JsonObject object(owner.at("test"), owner.path("test"),
                          {"samples", "errors", "accuracy", "nll", "ece"});
  return {object.integer("samples", 0), object.integer("errors", 0), object.number("accuracy"),
          number_or_nan(object, "nll"), number_or_nan(object, "ece")};
}

Fidelity read_fidelity(const JsonObject& owner) {
  const JsonObject object(owner.at("fidelity"), owner.path("fidelity"),
                          {"agreement", "baseline", "forward_kl", "reverse_kl"});
  return {object.number("agreement"), object.number("baseline"),
          number_or_nan(object, "forward_kl"), number_or_nan(object, "reverse_kl")};
}

BiasSweep read_sweep(const JsonObject& owner) {
  const JsonObject object(owner.at("bias_sweep"), owner.path("bias_sweep"),
                          {"errors", "swept_errors", "best_errors", "best_swept_errors", "offset"});
  return {{object.integer("errors", 0), object.integer("swept_errors", 0)},
          {object.integer("best_errors", 0), object.integer("best_swept_errors", 0)},
          object.number("offset")};
}

}  // namespace

json write_result(const Result& result) {
  json out = {{"model", result.model},
              {"seed", result.seed},
              {"parameters", result.parameters},
              {"steps", result.steps},
              {"ms_per_step", result.ms_per_step},
              {"digest", result.digest},
              {"test",
               {{"samples", result.test.samples},
                {"errors", result.test.errors},
                {"accuracy", result.test.accuracy},
                {"nll", result.test.nll},
                {"ece", result.test.ece}}}};
  if (const auto& f = result.fidelity)
    out["fidelity"] = {{"agreement", f->agreement},
                       {"baseline", f->baseline},
                       {"forward_kl", f->forward_kl},
                       {"reverse_kl", f->reverse_kl}};
  if (const auto& s = result.sweep)
    out["bias_sweep"] = {{"errors", s->as_is.all},
                         {"swept_errors", s->as_is.swept},
                         {"best_errors", s->best.all},
                         {"best_swept_errors", s->best.swept},
                         {"offset", s->offset}};
  if (result.step_bytes > 0) {
    out["step_bytes"] = result.step_bytes;
    out["step_pool_bytes"] = result.step_pool_bytes;
  }
  if (result.knowledge_bytes > 0) out["knowledge_bytes"] = result.knowledge_bytes;
  if (result.gap_recovered) out["gap_recovered"] = *result.gap_recovered;
  if (result.bits_per_token) out["bits_per_token"] = *result.bits_per_token;
  if (result.bits_per_character) out["bits_per_character"] = *result.bits_per_character;
  return out;
}

Result read_result(const json& value, const std::string& path) {
  const JsonObject object(
      value, path,
      {"model", "seed", "parameters", "steps", "ms_per_step", "step_bytes", "step_pool_bytes",
       "digest", "test", "fidelity", "bias_sweep", "knowledge_bytes", "gap_recovered",
       "bits_per_token", "bits_per_character"});
  Result result;
  result.model = object.text("model");
  result.seed = static_cast<std::uint64_t>(object.integer("seed", 0));
  result.parameters = object.integer("parameters", 0);
  result.steps = object.integer("steps", 0);
  result.ms_per_step = object.number("ms_per_step");
  result.step_bytes = object.integer("step_bytes", 0, 0);
  result.step_pool_bytes = object.integer("step_pool_bytes", 0, 0);
  result.digest = object.text("digest");
  result.test = read_metrics(object);
  if (object.has("fidelity")) result.fidelity = read_fidelity(object);
  if (object.has("bias_sweep")) result.sweep = read_sweep(object);
  result.knowledge_bytes = object.integer("knowledge_bytes", 0, 0);
  if (object.has("gap_recovered")) result.gap_recovered = object.number("gap_recovered");
  if (object.has("bits_per_token")) result.bits_per_token = number_or_nan(object, "bits_per_token");
  if (object.has("bits_per_character"))
    result.bits_per_character = number_or_nan(object, "bits_per_character");
  return result;
}

}  // namespace limbeck

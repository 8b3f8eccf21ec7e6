// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/arm_knowledge.h>

#include <algorithm>
#include <filesystem>

#include <limbeck/core/error.h>
#include <limbeck/distill/tap.h>
#include <limbeck/tools/arm_plan.h>
#include <limbeck/tools/name_map_json.h>
#include <limbeck/tools/preprocess_json.h>
#include <limbeck/tools/run.h>

namespace limbeck {

using nlohmann::json;

namespace {

ModelSpec with_input(ModelSpec spec, const RunData& data) {
  spec.input = data.input();
  return spec;
}

DType source_dtype(const Experiment& experiment, const std::string& source) {
  return source == kTeacherName ? experiment.teacher->dtype : DType::f32;
}

const Shape& find_tap(const TapShapes& taps, const std::string& layer, const std::string& whose) {
  const auto found = taps.find(layer);
  LIMBECK_CHECK(found != taps.end(), "features: ", whose, " has no layer \"", layer, "\"");
  return found->second;
}

CodeOrigin code_of(const FeatureConfig& config, bool to_student, const TapShapes& receiver,
                   const TapShapes& source, std::uint64_t seed) {
  CodeOrigin code;
  code.layer = to_student ? config.teacher : config.student;
  code.tap = find_tap(source, code.layer, "the source");
  const Shape& tap =
      find_tap(receiver, to_student ? config.student : config.teacher, "the receiver");
  const auto loss = config.make({tap, code.tap, seed, Device::cpu()});
  code.technique = loss->describe();
  code.code = loss->code_shape();
  const TapGrid grid = common_grid(tap, code.tap);
  code.height = grid.height;
  code.width = grid.width;
  code.standardise = config.standardise;
  code.seed = seed;
  return code;
}

/// All that is compared, by its place: {"codes.0.layer": "relu2", ...}.
std::map<std::string, json> flat(const KnowledgeOrigin& origin) {
  std::map<std::string, json> list;
  const json all = write_origin(origin);
  for (const auto& [key, value] : all.items())
    if (key != "codes") list[key] = value;
  for (std::size_t i = 0; i < origin.codes.size(); ++i)
    for (const auto& [key, value] : all["codes"][i].items())
      list[detail::concat("codes.", i, ".", key)] = value;
  return list;
}

/// What the run wants, with the cache's own in the place of what does not matter to it.
KnowledgeOrigin wanted_of(const Experiment& experiment, const Arm& arm, const RunData& data,
                          const KnowledgeOrigin& cache, std::uint64_t seed) {
  TapShapes taps;
  for (const CodeOrigin& code : cache.codes) taps[code.layer] = code.tap;
  for (const FeatureConfig& feature : arm.distill->features) {
    const std::string& layer =
        arm.distill->mode == Mode::forward ? feature.teacher : feature.student;
    LIMBECK_CHECK(taps.contains(layer), "has no codes of layer \"", layer, "\", which arm \"",
                  arm.name, "\" learns from");
  }
  KnowledgeOrigin wanted = origin_of(experiment, arm, data, taps, seed);
  LIMBECK_CHECK(cache.codes.size() == wanted.codes.size(), "has codes of ", cache.codes.size(),
                " layers; arm \"", arm.name, "\" learns from ", wanted.codes.size());
  wanted.source_digest = cache.source_digest;
  if (wanted.codes.empty()) wanted.seed = cache.seed;
  const bool any = wanted.logits == "none" || (wanted.logits == "all" && cache.logits == "top");
  if (any) {
    wanted.logits = cache.logits;
    wanted.top_k = cache.top_k;
  }
  wanted.tau =
      cache.logits == "top" && learns_logits(*arm.distill) ? arm.distill->logits.tau : cache.tau;
  return wanted;
}

/// Of the teacher where it is there: in a file that the run file names.
std::string digest_of_source(const Experiment& experiment, const Arm& arm, const RunData& data) {
  if (arm.distill->source != kTeacherName) return "";
  if (!std::filesystem::exists(experiment.teacher->weights)) return "";
  return load_source(experiment, arm, data, "", Device::cpu()).digest;
}

void check_same(const KnowledgeOrigin& cache, const KnowledgeOrigin& wanted,
                const std::string& arm) {
  const auto has = flat(cache), wants = flat(wanted);
  for (const auto& [key, value] : wants)
    LIMBECK_CHECK(has.at(key) == value, "its ", key, " is ", has.at(key).dump(), ", that of arm \"",
                  arm, "\" ", value.dump());
}

}  // namespace

const Arm& main_arm(const Experiment& experiment) {
  const auto& arms = experiment.arms;
  const auto found = std::find_if(arms.rbegin(), arms.rend(),
                                  [](const Arm& arm) { return arm.distill.has_value(); });
  return found == arms.rend() ? arms.back() : *found;
}

const Arm& find_arm(const Experiment& experiment, const std::string& name) {
  std::string names;
  for (const Arm& arm : experiment.arms) {
    if (arm.name == name) return arm;
    names += (names.empty() ? "\"" : ", \"") + arm.name + "\"";
  }
  throw std::invalid_argument("there is no arm \"" + name + "\"; the file has " + names);
}

void check_storable(const Arm& arm) {
  LIMBECK_CHECK(arm.distill && !arm.distill->source.empty(), "arm \"", arm.name, "\" ",
                arm.partner ? "learns from models that learn themselves" : "learns from no model",
                "; expected one that learns from a model trained before");
  LIMBECK_CHECK(arm.distill->source_state == ModelState::frozen_eval, "arm \"", arm.name,
                "\": distill.source_state: is frozen_batch_statistics, which looks at whole "
                "batches; expected frozen_eval");
}

std::string describe_augment(const Augment& augment) {
  if (!augment.any()) return "none";
  const ImageVariation& vary = augment.vary;
  return detail::concat("crop ", vary.max_jitter, vary.reflect ? " reflected" : "",
                        vary.flip ? ", flip" : "", ", brightness ", vary.brightness, ", contrast ",
                        vary.contrast, ", mixup ", augment.mix.mixup, ", cutmix ",
                        augment.mix.cutmix);
}

TapShapes tap_shapes(const ModelGraph& model, const Shape& input) {
  const std::vector<Shape> shapes = model.node_shapes(with_batch(input, 1));
  TapShapes taps;
  for (std::size_t i = 0; i < shapes.size(); ++i) taps[model.name(i)] = without_batch(shapes[i]);
  return taps;
}

KnowledgeOrigin origin_of(const Experiment& experiment, const Arm& arm, const RunData& data,
                          const TapShapes& taps, std::uint64_t seed) {
  const DistillConfig& config = *arm.distill;
  KnowledgeOrigin origin;
  origin.arm = arm.name;
  origin.source = config.source;
  origin.source_dtype = dtype_name(source_dtype(experiment, config.source));
  origin.data_digest = data.train_digest();
  origin.preprocess = write_preprocess(experiment.data.input);
  origin.augment = describe_augment(arm.recipe.augment);
  origin.samples =
      data.text ? data.text->train.source(Device::cpu())->size() : data.images.train.labels.dim(0);
  const bool soft = learns_logits(config);
  origin.top_k = soft ? config.top_k : 0;
  origin.logits = !soft ? "none" : config.top_k > 0 ? "top" : "all";
  origin.tau = origin.top_k > 0 ? config.logits.tau : 0;
  origin.seed = seed;
  if (config.features.empty()) return origin;
  const TapShapes receiver =
      tap_shapes(*build_model(with_input(arm.model, data), seed), data.input());
  for (std::size_t f = 0; f < config.features.size(); ++f)
    origin.codes.push_back(code_of(config.features[f], config.mode == Mode::forward, receiver, taps,
                                   feature_seed(seed, 0, f)));
  return origin;
}

SourceModel load_source(const Experiment& experiment, const Arm& arm, const RunData& data,
                        const std::string& weights, Device device) {
  const std::string& source = arm.distill->source;
  LoadOptions options;
  std::string file = weights;
  if (source == kTeacherName) {
    const TeacherConfig& teacher = *experiment.teacher;
    options = {read_name_map_file(teacher.names), teacher.match};
    if (file.empty()) file = teacher.weights;
  }
  LIMBECK_CHECK(!file.empty(), "\"", source, "\" is trained by this run file; expected --weights, ",
                "the file of a run that did, like seed-0/", source, "/weights.safetensors");
  const ModelSpec spec = with_input(learner_model(experiment, source), data);
  SourceModel found;
  found.model = build_model(spec, 0, DType::f32, device);
  found.unmatched = load_weights(*found.model, file, options);
  found.digest = weights_digest(*found.model);
  const DType dtype = source_dtype(experiment, source);
  if (dtype == DType::f32) return found;
  const SafetensorsFile exported = export_weights(*found.model);
  found.model = build_model(spec, 0, dtype, device);
  import_weights(*found.model, exported);
  return found;
}

void learn_from_cache(Experiment& experiment, const KnowledgeCache& cache, const std::string& path,
                      const RunData& data) try {
  Arm arm = find_arm(experiment, cache.origin.arm);
  check_storable(arm);
  LIMBECK_CHECK(!arm.distill->grow, "arm \"", arm.name,
                "\": distill.grow: starts with the source's ",
                "weights, which a cache has not; expected no grow");
  const std::string digest = digest_of_source(experiment, arm, data);
  for (const std::uint64_t seed : experiment.seeds) {
    KnowledgeOrigin wanted = wanted_of(experiment, arm, data, cache.origin, seed);
    if (!digest.empty()) wanted.source_digest = digest;
    check_same(cache.origin, wanted, arm.name);
  }
  arm.distill->source = "";
  arm.distill->cache = std::make_shared<KnowledgeCache>(cache);
  experiment.teacher.reset();
  experiment.arms = {arm};
} catch (const std::invalid_argument& e) {
  throw std::invalid_argument(path + ": " + e.what());
}

}  // namespace limbeck

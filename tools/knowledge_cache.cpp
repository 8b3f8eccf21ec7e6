// SPDX-License-Identifier: Apache-2.0
#include <limbeck/tools/knowledge_cache.h>

#include <limbeck/core/error.h>
#include <limbeck/distill/tap.h>
#include <limbeck/kernels/reduce.h>
#include <limbeck/nn/safetensors.h>
#include <limbeck/tools/digest.h>
#include <limbeck/tools/json_object.h>
#include <limbeck/tools/version.h>

namespace limbeck {

using nlohmann::json;

namespace {

const char* const kMetadata = "knowledge";

json write_shape(const Shape& shape) {
  return std::vector<std::int64_t>(shape.begin(), shape.end());
}

Shape read_shape(const JsonObject& object, const char* key) {
  const std::vector<std::int64_t> dims = object.integers(key, 1);
  return Shape(std::span<const std::int64_t>(dims));
}

CodeOrigin read_code(const json& value, const std::string& path) {
  const JsonObject object(
      value, path, {"technique", "layer", "tap", "code", "positions", "standardise", "seed"});
  CodeOrigin code;
  code.technique = object.text("technique");
  code.layer = object.text("layer");
  code.tap = read_shape(object, "tap");
  code.code = read_shape(object, "code");
  const Shape positions = read_shape(object, "positions");
  code.height = positions[0];
  code.width = positions[1];
  code.standardise = object.flag("standardise");
  code.seed = static_cast<std::uint64_t>(object.integer("seed", 0));
  return code;
}

json write_code(const CodeOrigin& code) {
  return {{"technique", code.technique},
          {"layer", code.layer},
          {"tap", write_shape(code.tap)},
          {"code", write_shape(code.code)},
          {"positions", {code.height, code.width}},
          {"standardise", code.standardise},
          {"seed", code.seed}};
}

// --- writing

/// On the CPU in the file's dtype; every number finite there.
Tensor stored(const Tensor& t, DType dtype, const std::string& name) {
  Tensor flag = Tensor::empty({1}, DType::i32);
  const Tensor out = t.to(Device::cpu()).to(dtype);
  all_finite(flag, out);
  LIMBECK_CHECK(flag.item() != 0, name, ": has a number that is not finite in ", dtype,
                "; expected a source that gives finite ones, or a wider dtype");
  return out;
}

/// Class numbers as bytes, where they all fit.
Tensor narrowed(const Tensor& indices) {
  const std::vector<std::int32_t> list = indices.to(Device::cpu()).to_vector<std::int32_t>();
  std::vector<std::uint8_t> bytes;
  for (const std::int32_t i : list) {
    if (i > 255) return indices.to(Device::cpu());
    bytes.push_back(static_cast<std::uint8_t>(i));
  }
  return Tensor::from(bytes, indices.shape());
}

Tensor widened(const Tensor& indices) {
  if (indices.dtype() != DType::u8) return indices;
  const std::vector<std::uint8_t> bytes = indices.to_vector<std::uint8_t>();
  return Tensor::from(std::vector<std::int32_t>(bytes.begin(), bytes.end()), indices.shape());
}

// --- reading

class Tensors {
 public:
  explicit Tensors(const SafetensorsFile& file) {
    for (const auto& [name, tensor] : file.tensors) list_[name] = tensor;
  }
  bool has(const std::string& name) const { return list_.contains(name); }
  /// Of all `samples`, and of `code` where one is given.
  Tensor take(const std::string& name, std::int64_t samples, const Shape* code = nullptr) const {
    LIMBECK_CHECK(has(name), "has no tensor \"", name, "\"");
    const Tensor& t = list_.at(name);
    LIMBECK_CHECK(
        t.rank() >= 1 && t.dim(0) == samples && (!code || t.shape() == with_batch(*code, samples)),
        "\"", name, "\" has shape ", t.shape(), "; expected a row for each of ", samples,
        " samples", code ? ", each " + code->str() : "");
    return t;
  }

 private:
  std::map<std::string, Tensor> list_;
};

void check_top(const SparseTeacher& top, std::int64_t K) {
  LIMBECK_CHECK(top.logits.shape() == top.indices.shape() && top.logits.shape()[-1] == K,
                "\"top.logits\" has shape ", top.logits.shape(), ", \"top.indices\" ",
                top.indices.shape(), "; expected ", K, " of each sample in both");
  LIMBECK_CHECK(top.indices.dtype() == DType::i32, "\"top.indices\" is ", top.indices.dtype(),
                "; expected u8 or i32");
}

Knowledge read_tensors(const Tensors& tensors, const KnowledgeOrigin& origin) {
  const std::int64_t N = origin.samples;
  Knowledge known;
  for (std::size_t i = 0; i < origin.codes.size(); ++i) {
    const CodeOrigin& code = origin.codes[i];
    known.codes.push_back(tensors.take(detail::concat("codes.", i), N, &code.code).to(DType::f32));
    TapStatistics& statistics = known.statistics.emplace_back();
    if (!code.standardise) continue;
    statistics.mean = tensors.take(detail::concat("mean.", i), tap_channels(code.tap));
    statistics.variance = tensors.take(detail::concat("variance.", i), tap_channels(code.tap));
  }
  if (origin.logits == "all") known.logits = tensors.take("logits", N).to(DType::f32);
  if (origin.logits == "top") {
    known.top = {widened(tensors.take("top.indices", N)),
                 tensors.take("top.logits", N).to(DType::f32), tensors.take("top.rest_lse", N)};
    check_top(known.top, origin.top_k);
  }
  return known;
}

std::string digest_of(const SafetensorsFile& file) {
  Digest digest;
  digest.add(file.metadata.at(kMetadata));
  for (const auto& [name, tensor] : file.tensors) {
    digest.add(name);
    digest.add(tensor);
  }
  return digest.hex();
}

std::int64_t bytes_per_sample(const Tensor& t, std::size_t element) {
  return t.numel() / t.dim(0) * static_cast<std::int64_t>(element);
}

}  // namespace

json write_origin(const KnowledgeOrigin& origin) {
  json codes = json::array();
  for (const CodeOrigin& code : origin.codes) codes.push_back(write_code(code));
  return {{"arm", origin.arm},
          {"source", origin.source},
          {"source_digest", origin.source_digest},
          {"source_dtype", origin.source_dtype},
          {"data_digest", origin.data_digest},
          {"preprocess", origin.preprocess},
          {"augment", origin.augment},
          {"samples", origin.samples},
          {"logits", origin.logits},
          {"top_k", origin.top_k},
          {"tau", origin.tau},
          {"seed", origin.seed},
          {"codes", codes}};
}

KnowledgeOrigin read_origin(const json& value, const std::string& path) {
  const JsonObject object(
      value, path,
      {"arm", "source", "source_digest", "source_dtype", "data_digest", "preprocess", "augment",
       "samples", "logits", "top_k", "tau", "seed", "codes"});
  KnowledgeOrigin origin;
  origin.arm = object.text("arm");
  origin.source = object.text("source");
  origin.source_digest = object.text("source_digest");
  origin.source_dtype = object.text("source_dtype");
  origin.data_digest = object.text("data_digest");
  origin.preprocess = object.at("preprocess");
  origin.augment = object.text("augment");
  origin.samples = object.integer("samples", 1);
  origin.logits = object.choice("logits", {"none", "all", "top"});
  origin.top_k = object.integer("top_k", 0);
  origin.tau = object.number("tau");
  origin.seed = static_cast<std::uint64_t>(object.integer("seed", 0));
  for (const auto& [code, at] : object.elements("codes"))
    origin.codes.push_back(read_code(code, at));
  return origin;
}

void write_knowledge(const std::string& path, const KnowledgeCache& cache) {
  const DType dtype = parse_dtype(cache.dtype);
  const auto& [codes, statistics, logits, top] = cache.knowledge;
  SafetensorsFile file;
  const auto put = [&](const std::string& name, const Tensor& t) {
    file.tensors.emplace_back(name, stored(t, dtype, name));
  };
  for (std::size_t i = 0; i < codes.size(); ++i) {
    put(detail::concat("codes.", i), codes[i]);
    if (!statistics[i].mean.defined()) continue;
    file.tensors.emplace_back(detail::concat("mean.", i), statistics[i].mean.to(Device::cpu()));
    file.tensors.emplace_back(detail::concat("variance.", i),
                              statistics[i].variance.to(Device::cpu()));
  }
  if (logits.defined()) put("logits", logits);
  if (top.logits.defined()) {
    put("top.logits", top.logits);
    file.tensors.emplace_back("top.indices", narrowed(top.indices));
    file.tensors.emplace_back("top.rest_lse", top.rest_lse.to(Device::cpu()));
  }
  file.metadata = {{"limbeck", version()}, {kMetadata, write_origin(cache.origin).dump()}};
  write_safetensors(path, file);
}

KnowledgeCache read_knowledge(const std::string& path) try {
  const SafetensorsFile file = read_safetensors(path);
  LIMBECK_CHECK(file.metadata.contains(kMetadata),
                "holds no knowledge; expected a file that limbeck encode wrote");
  KnowledgeCache cache;
  cache.origin = read_origin(parse_json(file.metadata.at(kMetadata), kMetadata), kMetadata);
  cache.knowledge = read_tensors(Tensors(file), cache.origin);
  for (const char* name : {"codes.0", "logits", "top.logits"})
    for (const auto& [given, tensor] : file.tensors)
      if (given == name) cache.dtype = dtype_name(tensor.dtype());
  cache.digest = digest_of(file);
  return cache;
} catch (const std::invalid_argument& e) {
  throw IoError(path + ": " + e.what());
}

std::int64_t code_bytes(const KnowledgeCache& cache, std::size_t i) {
  return bytes_per_sample(cache.knowledge.codes[i], dtype_size(parse_dtype(cache.dtype)));
}

std::int64_t logit_bytes(const KnowledgeCache& cache) {
  const Tensor& logits = cache.knowledge.logits;
  const SparseTeacher& top = cache.knowledge.top;
  const std::size_t element = dtype_size(parse_dtype(cache.dtype));
  if (logits.defined()) return bytes_per_sample(logits, element);
  if (!top.logits.defined()) return 0;
  const std::size_t index = narrowed(top.indices).dtype() == DType::u8 ? 1 : 4;
  return bytes_per_sample(top.logits, element + index) + bytes_per_sample(top.rest_lse, 4);
}

}  // namespace limbeck

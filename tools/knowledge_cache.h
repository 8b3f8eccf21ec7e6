// SPDX-License-Identifier: Apache-2.0
// Knowledge as a file: what a source knows of every training sample, and of what it is.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <limbeck/distill/knowledge.h>

namespace limbeck {

/// How the codes of one layer were made.
struct CodeOrigin {
  std::string technique;               ///< FeatureLoss::describe
  std::string layer;                   ///< of the source
  Shape tap, code;                     ///< of one sample: the layer, and what is stored of it
  std::int64_t height = 1, width = 1;  ///< positions it was compared at (distill/tap.h)
  bool standardise = false;
  std::uint64_t seed = 0;  ///< of its matrix
};

/// What a cache is of. One that differs in any of this from what a run would compute is refused.
struct KnowledgeOrigin {
  std::string arm, source;
  std::string source_digest;  ///< of its weights, in f32
  std::string source_dtype;   ///< that it was run in
  std::string data_digest;    ///< of the training data
  nlohmann::json preprocess;  ///< what a model sees of it
  std::string augment;        ///< "none": a cache has one view of each sample
  std::int64_t samples = 0;
  std::string logits;      ///< "none", "all" or "top"
  std::int64_t top_k = 0;  ///< how many, where it is "top"
  double tau = 0;          ///< at which the others are added up, where it is "top"
  std::uint64_t seed = 0;  ///< of the run
  std::vector<CodeOrigin> codes;
};

struct KnowledgeCache {
  KnowledgeOrigin origin;
  Knowledge knowledge;        ///< f32 on the CPU, in the file's memory map where it is stored so
  std::string dtype = "f32";  ///< of codes and logits in the file: f32, bf16 or f16
  std::string digest = {};    ///< of the file's contents, once read
};

/// The origin as a file's metadata have it, and back. Throws std::invalid_argument as JsonObject
/// does.
nlohmann::json write_origin(const KnowledgeOrigin& origin);
KnowledgeOrigin read_origin(const nlohmann::json& value, const std::string& path);

/// A safetensors file: "codes.<i>" (N, code) of lesson i, "logits" (N,V), or "top.logits",
/// "top.indices" (N,K; u8 where they all are below 256, else i32) and "top.rest_lse" (N, f32); row
/// n is of sample n. "mean.<i>" and "variance.<i>" (C, f32) where codes are of a standardised
/// layer. The metadata "knowledge" is write_origin. Throws IoError, and std::invalid_argument for
/// numbers that are not finite or beyond dtype.
void write_knowledge(const std::string& path, const KnowledgeCache& cache);
/// Throws IoError in one line naming the file: as read_safetensors, no knowledge in it, or tensors
/// that are not what the origin says.
KnowledgeCache read_knowledge(const std::string& path);

/// Bytes of a sample in the file, of codes[i] and of the logits.
std::int64_t code_bytes(const KnowledgeCache& cache, std::size_t i);
std::int64_t logit_bytes(const KnowledgeCache& cache);

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// Looking up rows of a table as a differentiable op.
#pragma once

#include <span>
#include <vector>

#include <limbeck/autograd/variable.h>

namespace limbeck {

/// y_n = weight_id(n): weight (V,D), ids i32 of any shape (...), y (...,D). The row padding_idx of
/// weight gets no gradient (-1: there is none). Ids out of range as in embedding_forward
/// (kernels/embedding.h).
Variable embedding(const Variable& weight, const Tensor& ids, std::int64_t padding_idx = -1);

struct EmbeddingLayer {
  Variable weight;  ///< (V,D)
  std::int64_t padding_idx = -1;
  bool frozen = false;  ///< its result is not recorded
};
/// The results of embedding() for each of several models' tables, computed by
/// joined_embedding_forward.
std::vector<Variable> joined_embedding(std::span<const EmbeddingLayer> layers, const Tensor& ids);

}  // namespace limbeck

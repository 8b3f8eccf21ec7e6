// SPDX-License-Identifier: Apache-2.0
// Rows of a table looked up by token ids, and the sum of gradients by id.
#pragma once

#include <span>

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// y_n = weight_id(n): weight (V,D) floating, ids i32 of any shape, y of ids' shape and D, weight's
/// dtype. Written. An id outside [0,V) throws std::invalid_argument on the CPU; on a GPU its row is
/// NaN.
void embedding_forward(Tensor& y, const Tensor& weight, const Tensor& ids);

/// A table and what is looked up in it.
struct EmbeddingPart {
  Tensor y, weight;
};
/// embedding_forward of up to kMaxJoined tables (kernels/joined_parts.h) of one dtype with the same
/// ids, which are read once: one loop over tokens, on a GPU one launch. The same bits.
void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids);

/// dweight_v = sum over tokens n with id v of dy_n, in f32 (f64 for f64), written or added; the row
/// padding_idx gets 0 from every token (-1: there is none). On the CPU each element is one chain
/// over the tokens in their order that starts at 0 (write) or dweight (add), so that sums added
/// over parts of a batch equal the whole's. Ids as in forward; on a GPU those out of range are left
/// out.
void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx = -1, Out out = Out::write);

namespace cpu {
void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids);
void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx, Out out);
}  // namespace cpu
namespace cuda {
void joined_embedding_forward(std::span<EmbeddingPart> parts, const Tensor& ids);
void embedding_backward(Tensor& dweight, const Tensor& dy, const Tensor& ids,
                        std::int64_t padding_idx, Out out);
}  // namespace cuda

}  // namespace limbeck

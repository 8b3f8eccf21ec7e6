// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/embedding.h>

#include <limbeck/kernels/embedding.h>

namespace limbeck {
namespace {

/// Room for the rows of ids.
Tensor empty_rows(const Variable& weight, const Tensor& ids, std::int64_t padding_idx) {
  const Tensor& w = weight.value();
  LIMBECK_CHECK(w.rank() == 2, "embedding: weight has shape ", w.shape(), "; expected (V,D)");
  LIMBECK_CHECK(-1 <= padding_idx && padding_idx < w.dim(0), "embedding: padding_idx is ",
                padding_idx, "; expected -1 to ", w.dim(0) - 1);
  std::vector<std::int64_t> extents(ids.shape().begin(), ids.shape().end());
  extents.push_back(w.dim(1));
  return Tensor::empty(Shape(std::span<const std::int64_t>(extents)), w.dtype(), w.device());
}

Variable record_rows(const Tensor& y, const Variable& weight, const Tensor& ids,
                     std::int64_t padding_idx) {
  return record(
      "embedding", y, {weight}, [ids, padding_idx](const Tensor& dy, std::span<InputGrad> inputs) {
        inputs[0].accumulate(
            [&](Tensor& dw, Out out) { embedding_backward(dw, dy, ids, padding_idx, out); });
      });
}

}  // namespace

Variable embedding(const Variable& weight, const Tensor& ids, std::int64_t padding_idx) {
  Tensor y = empty_rows(weight, ids, padding_idx);
  embedding_forward(y, weight.value(), ids);
  return record_rows(y, weight, ids, padding_idx);
}

std::vector<Variable> joined_embedding(std::span<const EmbeddingLayer> layers, const Tensor& ids) {
  std::vector<EmbeddingPart> parts;
  for (const auto& [weight, padding_idx, frozen] : layers)
    parts.push_back({empty_rows(weight, ids, padding_idx), weight.value()});
  joined_embedding_forward(parts, ids);
  std::vector<Variable> results;
  for (std::size_t i = 0; i < layers.size(); ++i)
    results.push_back(layers[i].frozen
                          ? Variable(parts[i].y)
                          : record_rows(parts[i].y, layers[i].weight, ids, layers[i].padding_idx));
  return results;
}

}  // namespace limbeck

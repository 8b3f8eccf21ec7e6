// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/embedding.h>

#include <vector>

#include <limbeck/kernels/embedding.h>

namespace limbeck {

Variable embedding(const Variable& weight, const Tensor& ids, std::int64_t padding_idx) {
  const Tensor& w = weight.value();
  LIMBECK_CHECK(w.rank() == 2, "embedding: weight has shape ", w.shape(), "; expected (V,D)");
  LIMBECK_CHECK(-1 <= padding_idx && padding_idx < w.dim(0), "embedding: padding_idx is ",
                padding_idx, "; expected -1 to ", w.dim(0) - 1);
  std::vector<std::int64_t> extents(ids.shape().begin(), ids.shape().end());
  extents.push_back(w.dim(1));
  Tensor y = Tensor::empty(Shape(std::span<const std::int64_t>(extents)), w.dtype(), w.device());
  embedding_forward(y, w, ids);
  return record(
      "embedding", y, {weight}, [ids, padding_idx](const Tensor& dy, std::span<InputGrad> inputs) {
        inputs[0].accumulate(
            [&](Tensor& dw, Out out) { embedding_backward(dw, dy, ids, padding_idx, out); });
      });
}

}  // namespace limbeck

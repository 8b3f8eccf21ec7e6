// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/evaluate.h>

#include <algorithm>
#include <numeric>

#include <limbeck/distill/image_source.h>

namespace limbeck {

Tensor infer(Module& model, const Tensor& x, const Tensor& lengths) {
  const NoGrad no_grad;
  const auto parameters = model.parameters();
  const DType dtype = parameters.empty() ? DType::f32 : parameters.front().value.value().dtype();
  Context context{.lengths = lengths};
  const Tensor input = x.dtype() == DType::i32 ? x : x.to(dtype);
  return model.forward(Variable(input), context).value().to(DType::f32);
}

Tensor predict(Module& model, BatchSource& data, std::int64_t batch) {
  LIMBECK_CHECK(batch >= 1, "predict: batch is ", batch, "; expected at least 1");
  LIMBECK_CHECK(!data.augments(), "predict: the data is augmented; expected it as it is");
  const std::int64_t N = data.size();
  LIMBECK_CHECK(N >= 1, "predict: no samples; expected at least one");
  std::vector<std::int32_t> order(static_cast<std::size_t>(N));
  std::iota(order.begin(), order.end(), 0);
  data.begin_epoch(std::move(order), 0);
  Tensor logits;
  for (std::int64_t first = 0; first < N; first += batch) {
    const std::int64_t last = std::min(first + batch, N);
    const Batch part = data.fetch(first, last, 0);
    const Tensor y = infer(model, part.x, part.lengths);
    if (!logits.defined()) logits = Tensor::empty({N, y.dim(1)}, DType::f32, data.device());
    logits.rows(first, last).copy_from(y);
  }
  return logits;
}

Tensor predict(Module& model, const Tensor& images, const Preprocess& input, std::int64_t batch) {
  LIMBECK_CHECK(images.rank() == 4 && images.dim(0) >= 1, "predict: images have shape ",
                images.shape(), "; expected (N,H,W,C) with N >= 1");
  const Tensor labels = Tensor::zeros({images.dim(0)}, DType::i32, images.device());
  TensorSource source(images, labels, 1, input);
  return predict(model, source, batch);
}

}  // namespace limbeck

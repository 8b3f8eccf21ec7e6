// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/evaluate.h>

#include <algorithm>
#include <numeric>

#include <limbeck/kernels/gather.h>

namespace limbeck {

Tensor infer(Module& model, const Tensor& x) {
  const NoGrad no_grad;
  const auto parameters = model.parameters();
  const DType dtype = parameters.empty() ? DType::f32 : parameters.front().value.value().dtype();
  Context context;
  return model.forward(Variable(x.to(dtype)), context).value().to(DType::f32);
}

Tensor predict(Module& model, const Tensor& images, const Preprocess& input, std::int64_t batch) {
  LIMBECK_CHECK(images.rank() == 4 && images.dim(0) >= 1, "predict: images have shape ",
                images.shape(), "; expected (N,H,W,C) with N >= 1");
  LIMBECK_CHECK(batch >= 1, "predict: batch is ", batch, "; expected at least 1");
  const std::int64_t N = images.dim(0);
  std::vector<std::int32_t> rows(static_cast<std::size_t>(N));
  std::iota(rows.begin(), rows.end(), 0);
  const Tensor index = Tensor::from(rows, {N}, images.device());
  Tensor logits;
  for (std::int64_t begin = 0; begin < N; begin += batch) {
    const std::int64_t end = std::min(begin + batch, N);
    Tensor x = Tensor::empty({end - begin, images.dim(1), images.dim(2), images.dim(3)}, DType::f32,
                             images.device());
    gather_images(x, images, index.rows(begin, end),
                  {.scale = input.scale, .shift = input.shift, .stream = {}});
    const Tensor y = infer(model, x);
    if (!logits.defined()) logits = Tensor::empty({N, y.dim(1)}, DType::f32, images.device());
    logits.rows(begin, end).copy_from(y);
  }
  return logits;
}

}  // namespace limbeck

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

namespace {

/// Calls visit(part, first, last) for all samples in their order, at most `batch` at a time.
template <class Visit>
void visit_batches(const char* who, BatchSource& data, std::int64_t batch, Visit&& visit) {
  LIMBECK_CHECK(batch >= 1, who, ": batch is ", batch, "; expected at least 1");
  LIMBECK_CHECK(!data.augments(), who, ": the data is augmented; expected it as it is");
  const std::int64_t N = data.size();
  LIMBECK_CHECK(N >= 1, who, ": no samples; expected at least one");
  std::vector<std::int32_t> order(static_cast<std::size_t>(N));
  std::iota(order.begin(), order.end(), 0);
  data.begin_epoch(std::move(order), 0);
  for (std::int64_t first = 0; first < N; first += batch) {
    const std::int64_t last = std::min(first + batch, N);
    visit(data.fetch(first, last, 0), first, last);
  }
}

/// Logits of one batch, a row for every label.
Tensor logit_rows(Module& model, const Batch& batch) {
  const Tensor y = infer(model, batch.x, batch.lengths);
  const std::int64_t rows = batch.labels.numel(), V = y.dim(y.rank() - 1);
  LIMBECK_CHECK(y.numel() == rows * V, "evaluate: logits have shape ", y.shape(), ", labels ",
                batch.labels.shape(), "; expected a row of logits for every label");
  return y.reshape({rows, V});
}

}  // namespace

Tensor predict(Module& model, BatchSource& data, std::int64_t batch) {
  Tensor logits;
  visit_batches("predict", data, batch, [&](const Batch& part, auto first, auto last) {
    const Tensor y = infer(model, part.x, part.lengths);
    if (!logits.defined())
      logits = Tensor::empty({data.size(), y.dim(1)}, DType::f32, data.device());
    logits.rows(first, last).copy_from(y);
  });
  return logits;
}

Evaluation evaluate(Module& model, BatchSource& data, Module* teacher, std::int64_t batch) {
  MetricsMeter metrics;
  FidelityMeter fidelity;
  visit_batches("evaluate", data, batch, [&](const Batch& part, auto, auto) {
    const Tensor labels = part.labels.reshape({part.labels.numel()});
    const Tensor logits = logit_rows(model, part);
    metrics.add(logits, labels);
    if (teacher) fidelity.add(logits, logit_rows(*teacher, part), labels);
  });
  return {metrics.result(), teacher ? std::optional(fidelity.result()) : std::nullopt};
}

Tensor predict(Module& model, const Tensor& images, const Preprocess& input, std::int64_t batch) {
  LIMBECK_CHECK(images.rank() == 4 && images.dim(0) >= 1, "predict: images have shape ",
                images.shape(), "; expected (N,H,W,C) with N >= 1");
  const Tensor labels = Tensor::zeros({images.dim(0)}, DType::i32, images.device());
  TensorSource source(images, labels, 1, input);
  return predict(model, source, batch);
}

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/batch_source.h>

#include <numeric>
#include <utility>

#include <limbeck/core/error.h>

#include <stdexcept>

namespace limbeck {

Batch BatchSource::gather(const Tensor&, const StepNumber&) {
  throw std::logic_error(
      "BatchSource: gather() of a source that fetches; expected one that gathers");
}

Batch batch_of(Tensor x, Tensor labels) {
  LIMBECK_CHECK(x.defined() && labels.defined() && x.rank() >= 1 && labels.rank() >= 1 &&
                    x.dim(0) == labels.dim(0) && labels.dtype() == DType::i32,
                "batch_of: x has shape ", x.defined() ? x.shape() : Shape{}, ", labels ",
                labels.defined() ? labels.dtype() : DType::i32,
                labels.defined() ? labels.shape() : Shape{}, "; expected i32 labels for N samples");
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(x.dim(0)));
  std::iota(numbers.begin(), numbers.end(), 0);
  Batch batch;
  batch.samples = Tensor::from(numbers, {x.dim(0)}, x.device());
  batch.targets = static_cast<double>(labels.numel());
  batch.x = std::move(x);
  batch.labels = std::move(labels);
  return batch;
}

Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last) {
  Batch part = batch;
  for (Tensor* t : {&part.x, &part.labels, &part.samples, &part.lengths, &part.other_labels})
    if (t->defined()) *t = t->rows(first, last);
  return part;
}

}  // namespace limbeck

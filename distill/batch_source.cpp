// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/batch_source.h>

#include <stdexcept>

namespace limbeck {

Batch BatchSource::gather(const Tensor&, const StepNumber&) {
  throw std::logic_error(
      "BatchSource: gather() of a source that fetches; expected one that gathers");
}

Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last) {
  Batch part = batch;
  for (Tensor* t : {&part.x, &part.labels, &part.samples, &part.lengths, &part.other_labels})
    if (t->defined()) *t = t->rows(first, last);
  return part;
}

}  // namespace limbeck

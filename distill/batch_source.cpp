// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/batch_source.h>

namespace limbeck {

Batch part_of(const Batch& batch, std::int64_t first, std::int64_t last) {
  Batch part = batch;
  for (Tensor* t : {&part.x, &part.labels, &part.samples, &part.lengths, &part.other_labels})
    if (t->defined()) *t = t->rows(first, last);
  return part;
}

}  // namespace limbeck

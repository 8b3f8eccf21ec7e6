// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/one_hot.h>

#include <algorithm>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/kernels/labels.h>
#include <limbeck/kernels/row_checks.h>

namespace limbeck {

void one_hot(Tensor& y, const Tensor& labels, double on, double off) {
  check_rows("one_hot", "y", y);
  check_labels("one_hot", labels, y.dim(0), y.dim(1), y.device());
  LIMBECK_DISPATCH(y.device(), one_hot(y, labels, on, off));
}

namespace cpu {

void one_hot(Tensor& y, const Tensor& labels, double on, double off) {
  const std::int64_t V = y.dim(1);
  const std::int32_t* label = labels.data<std::int32_t>();
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = y.data<T>();
    const T hot = static_cast<T>(static_cast<ComputeType<T>>(on));
    const T cold = static_cast<T>(static_cast<ComputeType<T>>(off));
    parallel_ranges(y.dim(0), std::max<std::int64_t>(1, 65536 / V),
                    [&](std::int64_t begin, std::int64_t end) {
                      std::fill(out + begin * V, out + end * V, cold);
                      for (std::int64_t n = begin; n < end; ++n)
                        if (label[n] != kIgnoreIndex) out[n * V + label[n]] = hot;
                    });
  });
}

}  // namespace cpu
}  // namespace limbeck

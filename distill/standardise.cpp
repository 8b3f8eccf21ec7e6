// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/standardise.h>

#include <limbeck/core/error.h>
#include <limbeck/kernels/channel_norm.h>

namespace limbeck {

Standardise::Standardise(const char* op, const Tensor& mean, const Tensor& variance, std::int64_t C,
                         DType dtype, Device device) {
  const auto taken = [&](const char* name, const Tensor& t) {
    LIMBECK_CHECK(t.defined() && t.shape() == Shape{C} && is_floating(t.dtype()), op, ": ", name,
                  " has shape ", t.defined() ? t.shape() : Shape{}, "; expected (", C,
                  "), mean and variance both or neither");
    return t.to(device).to(dtype).reshape({1, C});
  };
  if (!mean.defined() && !variance.defined()) return;
  mean_ = taken("mean", mean);
  variance_ = taken("variance", variance);
}

Tensor Standardise::operator()(const Tensor& rows) const {
  if (!defined()) return rows;
  Tensor y = Tensor::empty({1, rows.dim(0), rows.dim(1)}, rows.dtype(), rows.device());
  if (rows.dim(0) > 0)
    channel_norm_forward(y, rows.reshape(y.shape()),
                         {.mean = mean_, .variance = variance_, .eps = kEps});
  return y.reshape(rows.shape());
}

}  // namespace limbeck

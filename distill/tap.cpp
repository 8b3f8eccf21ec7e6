// SPDX-License-Identifier: Apache-2.0
#include <limbeck/distill/tap.h>

#include <algorithm>
#include <span>
#include <vector>

#include <limbeck/autograd/adaptive_avg_pool2d.h>
#include <limbeck/autograd/reshape.h>
#include <limbeck/autograd/token_pool.h>

namespace limbeck {

Shape with_batch(const Shape& sample, std::int64_t N) {
  std::vector<std::int64_t> dims = {N};
  dims.insert(dims.end(), sample.begin(), sample.end());
  return Shape(std::span<const std::int64_t>(dims));
}

Shape without_batch(const Shape& batch) {
  LIMBECK_CHECK(batch.rank() >= 1, "tap: shape of a batch is (); expected (N,...)");
  return Shape(std::span<const std::int64_t>(batch.begin() + 1, batch.end()));
}

TapGrid common_grid(const Shape& receiver, const Shape& source) {
  for (const Shape& tap : {receiver, source})
    LIMBECK_CHECK(tap.rank() >= 1 && tap.rank() <= 3, "tap: shape of one sample is ", tap,
                  "; expected (C), (T,C) or (H,W,C)");
  if (receiver.rank() == 3 && source.rank() == 3)
    return {std::min(receiver[0], source[0]), std::min(receiver[1], source[1])};
  if (receiver.rank() == 2 && source.rank() == 2 && receiver[0] == source[0])
    return {receiver[0], 1};
  return {};
}

Variable tap_rows(const Variable& tap, const TapGrid& grid) {
  const Shape& shape = tap.shape();
  Variable y = tap;
  if (shape.rank() == 4 && TapGrid{shape[1], shape[2]} != grid)
    y = adaptive_avg_pool2d(tap, grid.height, grid.width);
  else if (shape.rank() == 3 && shape[1] != grid.positions())
    y = token_pool(tap, {}, TokenPool::mean);
  LIMBECK_CHECK(y.shape().numel() == shape[0] * grid.positions() * shape[-1],
                "tap: taps have shape ", shape, "; expected (N,C), (N,T,C) or (N,H,W,C) of ",
                grid.positions(), " positions");
  return reshape(y, {shape[0] * grid.positions(), shape[-1]});
}

Tensor tap_rows(const Tensor& tap, const TapGrid& grid) {
  const NoGrad no_grad;
  return tap_rows(Variable(tap), grid).value();
}

Variable tap_vectors(const Variable& tap) {
  const std::int64_t N = tap.shape()[0];
  return reshape(tap, {N, tap.shape().numel() / N});
}

}  // namespace limbeck

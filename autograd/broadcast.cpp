// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/broadcast.h>

#include <vector>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {
namespace {

// Leaves the sum over the rows of dy. sum_rows sums halves in f32.
void give_row_sum(InputGrad& input, const Tensor& dy, const Shape& row) {
  if (!input.needed()) return;
  const std::int64_t C = row.numel();
  const DType sums = dy.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor sum = Tensor::empty({C}, sums, dy.device());
  sum_rows(sum, dy.reshape({dy.numel() / C, C}));
  input.give(sum.to(dy.dtype()).reshape(row));
}

void add_to_rows(Tensor y, const Tensor& row) {
  const std::int64_t C = row.numel();
  Tensor rows = y.reshape({y.numel() / C, C});
  add_bias(rows, row.reshape({C}));
}

}  // namespace

Variable add_row(const Variable& x, const Variable& row) {
  const Shape shape = row.shape();
  LIMBECK_CHECK(x.shape().rank() >= 1 && shape.numel() >= 1 &&
                    x.shape().numel() == x.shape()[0] * shape.numel(),
                "add_row: row has shape ", shape, ", x ", x.shape(),
                "; expected as many elements as a row of x has");
  Tensor y = x.value().clone();
  add_to_rows(y, row.value());
  return record("add_row", y, {x, row}, [shape](const Tensor& dy, std::span<InputGrad> inputs) {
    give_row_sum(inputs[1], dy, shape);
    inputs[0].give(dy);
  });
}

Variable repeat_row(const Variable& row, std::int64_t N) {
  const Shape shape = row.shape();
  LIMBECK_CHECK(N >= 0 && shape.numel() >= 1, "repeat_row: ", N, " times ", shape,
                "; expected >= 0 times at least one element");
  std::vector<std::int64_t> extents(shape.begin(), shape.end());
  extents.insert(extents.begin(), N);
  Tensor y = Tensor::zeros(Shape(std::span<const std::int64_t>(extents)), row.value().dtype(),
                           row.value().device());
  add_to_rows(y, row.value());
  return record("repeat_row", y, {row}, [shape](const Tensor& dy, std::span<InputGrad> inputs) {
    give_row_sum(inputs[0], dy, shape);
  });
}

}  // namespace limbeck

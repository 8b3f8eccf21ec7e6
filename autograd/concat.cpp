// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/concat.h>

#include <limbeck/kernels/concat.h>

namespace limbeck {
namespace {

int axis_from_front(const char* op, const Shape& shape, int axis) {
  LIMBECK_CHECK(-shape.rank() <= axis && axis < shape.rank(), op, ": axis is ", axis, " of ", shape,
                "; expected ", -shape.rank(), " to ", shape.rank() - 1);
  return axis < 0 ? axis + shape.rank() : axis;
}

Shape with_extent(const Shape& shape, int axis, std::int64_t extent) {
  std::vector<std::int64_t> extents(shape.begin(), shape.end());
  extents[static_cast<std::size_t>(axis)] = extent;
  return Shape(std::span<const std::int64_t>(extents));
}

}  // namespace

Variable concat(const std::vector<Variable>& parts, int axis) {
  LIMBECK_CHECK(!parts.empty(), "concat: there are 0 parts; expected >= 1");
  const Tensor& first = parts[0].value();
  const int a = axis_from_front("concat", first.shape(), axis);
  std::vector<Tensor> values;
  std::vector<Shape> shapes;
  std::int64_t extent = 0;
  for (const Variable& part : parts) {
    LIMBECK_CHECK(part.shape().rank() == first.rank(), "concat: a part has shape ", part.shape(),
                  ", the first ", first.shape(), "; expected equal ones but for axis ", a);
    values.push_back(part.value());
    shapes.push_back(part.shape());
    extent += part.shape()[a];
  }
  Tensor y = Tensor::empty(with_extent(first.shape(), a, extent), first.dtype(), first.device());
  concat(y, values, a);
  return record("concat", y, parts, [shapes, a](const Tensor& dy, std::span<InputGrad> inputs) {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < shapes.size(); begin += shapes[i++][a]) {
      if (!inputs[i].needed()) continue;
      Tensor dx = Tensor::empty(shapes[i], dy.dtype(), dy.device());
      slice(dx, dy, a, begin);
      inputs[i].give(dx);
    }
  });
}

Variable slice(const Variable& x, int axis, std::int64_t begin, std::int64_t end) {
  const Tensor& value = x.value();
  const int a = axis_from_front("slice", value.shape(), axis);
  LIMBECK_CHECK(0 <= begin && begin <= end && end <= value.dim(a), "slice: elements ", begin,
                " to ", end, " of ", value.dim(a), " along axis ", a,
                "; expected them to be inside");
  Tensor y =
      Tensor::empty(with_extent(value.shape(), a, end - begin), value.dtype(), value.device());
  slice(y, value, a, begin);
  return record("slice", y, {x}, [a, begin](const Tensor& dy, std::span<InputGrad> inputs) {
    inputs[0].accumulate([&](Tensor& dx, Out out) {
      if (out == Out::write) dx.fill(0);
      place(dx, dy, a, begin, out);
    });
  });
}

std::vector<Variable> split(const Variable& x, const std::vector<std::int64_t>& sizes, int axis) {
  const int a = axis_from_front("split", x.shape(), axis);
  std::vector<Variable> parts;
  std::int64_t begin = 0;
  for (const std::int64_t size : sizes) {
    parts.push_back(slice(x, a, begin, begin + size));
    begin += size;
  }
  LIMBECK_CHECK(begin == x.shape()[a], "split: the sizes add up to ", begin, ", x has shape ",
                x.shape(), "; expected its ", x.shape()[a], " along axis ", a);
  return parts;
}

}  // namespace limbeck

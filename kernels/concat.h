// SPDX-License-Identifier: Apache-2.0
// Tensors joined along an axis, and parts of a tensor taken out of it and put back.
#pragma once

#include <vector>

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>

namespace limbeck {

/// part = x[..., begin : begin + part.dim(axis), ...]. Floating, of one dtype; all extents but
/// axis are equal; axis counts from the front, or from the back where negative. Written; part and
/// x do not overlap.
void slice(Tensor& part, const Tensor& x, int axis, std::int64_t begin);

/// x[..., begin : begin + part.dim(axis), ...] = part or += part; the rest of x stays as it is.
/// Otherwise as slice.
void place(Tensor& x, const Tensor& part, int axis, std::int64_t begin, Out out = Out::write);

/// y = the parts, one after the other along axis, which add up to y's. Written; otherwise as place.
void concat(Tensor& y, const std::vector<Tensor>& parts, int axis);

/// Internal: x is (rows, x_width), the part (rows, width) of it from element `offset` of each row.
struct PartOfRows {
  std::int64_t rows, x_width, width, offset;
  std::int64_t numel() const { return rows * width; }
};

namespace cpu {
void slice(Tensor& part, const Tensor& x, const PartOfRows& where);
void place(Tensor& x, const Tensor& part, const PartOfRows& where, Out out);
}  // namespace cpu
namespace cuda {
void slice(Tensor& part, const Tensor& x, const PartOfRows& where);
void place(Tensor& x, const Tensor& part, const PartOfRows& where, Out out);
}  // namespace cuda

}  // namespace limbeck

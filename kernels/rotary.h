// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding: pairs of a head's elements turned by an angle that grows with the
// position, so that q . k depends on the distance only.
#pragma once

#include <limbeck/core/tensor.h>

namespace limbeck {

struct RotaryOptions {
  double theta = 10000;     ///< pair d turns by theta^(-2d/D) per position
  std::int64_t offset = 0;  ///< position of the first row: what a cache holds before it
};

/// Row t: cos a_td for d < D/2, then sin a_td, with a_td = (offset + t) theta^(-2d/D) taken in f64
/// (Su et al. 2021). (T,D) of f32 or f64, D even. Made on the host.
Tensor rotary_table(std::int64_t T, std::int64_t D, const RotaryOptions& options = {},
                    DType dtype = DType::f32, Device device = Device::cpu());

/// forward turns by the table's angles, inverse by their opposites: that is the backward, as a
/// turn's transpose is its inverse.
enum class Rotation { forward, inverse };

/// With c, s from row t of the table: y_d = c_d x_d - s_d x_(d+D/2) and y_(d+D/2) = c_d x_(d+D/2) +
/// s_d x_d (the halves of a head are the pairs, as in Llama), for the first `heads` heads of x
/// (N,T,*,D); the others are copied, so that a packed projection is turned at once. Any floating
/// dtype, arithmetic in f32 (f64 for f64); table (T,D) in that. Written; y may be x.
void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads,
            Rotation rotation = Rotation::forward);

namespace cpu {
void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads, Rotation rotation);
}  // namespace cpu
namespace cuda {
void rotary(Tensor& y, const Tensor& x, const Tensor& table, std::int64_t heads, Rotation rotation);
}  // namespace cuda

}  // namespace limbeck

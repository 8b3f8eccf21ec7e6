// SPDX-License-Identifier: Apache-2.0
// Internal, GPU builds only: convolutions from cuDNN. cudnn.cpp says a call in cuDNN's terms, which
// is all that the library gets to know: cudnn.cu makes it, and the emulated GPU (tests/simt) checks
// and computes it from nothing else.
#pragma once

#include <array>
#include <compare>

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/conv2d.h>

namespace limbeck::cudnn {

/// As the limbeck:: functions of these names, without bias, for f32, bf16 and f16 and no empty
/// tensor.
void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options);
void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options);
void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options);

enum class Pass { forward, backward_data, backward_weight };
enum class Layout { nchw, nhwc };

/// Images: cuDNN counts (N,C,H,W), whatever their order in memory; strides in elements.
struct Images {
  DType dtype;
  std::array<int, 4> extents, strides;
  auto operator<=>(const Images&) const = default;
};

/// Weights (O,C/groups,KH,KW), packed in one of two orders.
struct Filter {
  DType dtype;
  Layout layout;
  std::array<int, 4> extents;
  auto operator<=>(const Filter&) const = default;
};

/// Everything the choice of an algorithm depends on.
struct Problem {
  int device;
  Pass pass;
  Images x, y;
  Filter w;
  DType compute;                                 ///< what products are added up in
  std::array<int, 2> padding, stride, dilation;  ///< (height, width)
  int groups;
  bool tensor_cores;   ///< may be used, which rounds f32 to TF32
  bool deterministic;  ///< no algorithm whose sums depend on the order of threads
  auto operator<=>(const Problem&) const = default;
};

/// x, w and y are device addresses, aligned to kAlignment. The pass's result, one of them, becomes
/// alpha * convolution + beta * what was there, which is not read when beta is 0.
struct Call {
  Problem problem;
  void *x, *w, *y;
  float alpha, beta;
  void* workspace;
  std::size_t workspace_bytes;
};

/// An algorithm is chosen before the addresses are known, so it may move 16 bytes at once.
constexpr std::size_t kAlignment = 16;

/// The call for tensors of conv2d's layouts, without a workspace. x, w, y: or their gradients.
Call describe(Pass pass, Tensor x, Tensor w, Tensor y, const Conv2dOptions& options, Out out);

// The library.
std::size_t workspace_bytes(const Problem& problem);  ///< what the chosen algorithm needs
void run(const Call& call);                           ///< on the selected stream

}  // namespace limbeck::cudnn

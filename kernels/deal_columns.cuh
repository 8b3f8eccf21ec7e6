// SPDX-License-Identifier: Apache-2.0
// Internal: the columns of one matrix dealt out to several.
#pragma once

#include <limbeck/kernels/activation_functions.h>
#include <limbeck/kernels/joined_parts.h>
#include <limbeck/kernels/optional_data.h>
#include <limbeck/kernels/gpu_types.cuh>

namespace limbeck::gpu {

/// Columns [begin[i], begin[i + 1]) of every row are y[i]'s, plus bias[i] where there is one.
template <class T>
struct Shares {
  T* y[kMaxJoined];
  const T* bias[kMaxJoined];
  bool relu[kMaxJoined];
  std::int64_t begin[kMaxJoined + 1];
  int count;

  void add(Tensor& to, const Tensor& with, bool rectified) {
    y[count] = to.data<T>();
    bias[count] = data_or_null<T>(with);
    relu[count] = rectified;
    begin[count + 1] = begin[count] + to.shape()[-1];
    ++count;
  }
};

/// One thread per element of z (rows, columns): neighbours read and write neighbours. Rounds where
/// a bias is added, as a sum of its own would.
template <class T>
LIMBECK_KERNEL deal_columns_kernel(Shares<T> shares, const T* z, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const std::int64_t columns = shares.begin[shares.count], row = i / columns, column = i % columns;
  int part = 0;
  while (column >= shares.begin[part + 1]) ++part;
  const std::int64_t first = shares.begin[part], width = shares.begin[part + 1] - first;
  float value = static_cast<float>(z[i]);
  if (shares.bias[part]) value += static_cast<float>(shares.bias[part][column - first]);
  if (shares.relu[part]) value = Relu()(value);
  shares.y[part][row * width + column - first] = T(value);
}

template <class T>
void deal_columns(const char* name, const Shares<T>& shares, const Tensor& z) {
  launch({name, blocks_for(z.numel(), 256), 256}, deal_columns_kernel<T>, shares, z.data<T>(),
         z.numel());
}

}  // namespace limbeck::gpu

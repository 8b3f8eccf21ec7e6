// SPDX-License-Identifier: Apache-2.0
// Internal, CPU: loops over the pixels of NHWC images and over windows of them, all channels of a
// pixel at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>
#include <limbeck/core/tensor.h>

namespace limbeck::cpu {

using Index = std::int64_t;

struct Range {
  Index begin, end;
  Index size() const { return end - begin; }
};

// `large` is (N,H,W,C), `small` (N,OH,OW,C).
struct Extents {
  Index n, h, w, c, oh, ow;
  Extents(const Tensor& large, const Tensor& small)
      : n(large.dim(0)),
        h(large.dim(1)),
        w(large.dim(2)),
        c(large.dim(3)),
        oh(small.dim(1)),
        ow(small.dim(2)) {}
};

// body(row, column, pixel) for each of rows x columns pixels, vectorised and in parallel; `work` is
// the number of elements one row touches.
template <class Body>
void for_each_pixel(Index rows, Index columns, Index work, Body&& body) {
  parallel_ranges(rows, std::max<Index>(1, 32768 / std::max<Index>(work, 1)),
                  [&](Index begin, Index end) {
                    simd([&](auto) {
                      for (Index row = begin; row < end; ++row)
                        for (Index column = 0; column < columns; ++column)
                          body(row, column, row * columns + column);
                    });
                  });
}

// fn(first channel, capacity, channels) for all channels, 64, 16 or 8 at a time while there are as
// many; both counts are known when compiled but for the last ones, so that what is kept of a chunk
// stays in registers.
template <class Fn>
[[gnu::always_inline]] inline void for_each_chunk(Index channels, Fn&& fn) {
  Index c = 0;
  const auto take = [&](auto n) {
    for (; c + n.value <= channels; c += n.value) fn(c, n, n);
  };
  take(std::integral_constant<int, 64>());
  take(std::integral_constant<int, 16>());
  take(std::integral_constant<int, 8>());
  if (c < channels) fn(c, std::integral_constant<int, 8>(), channels - c);
}

// The mean of a window, summed in order of (h, w).
template <class T>
[[gnu::always_inline]] inline void mean_window(T* y, const T* x, Range rows, Range columns,
                                               Index width, Index channels) {
  using C = ComputeType<T>;
  const C cells = static_cast<C>(rows.size() * columns.size());
  for_each_chunk(channels, [&](Index c0, auto capacity, auto n) {
    C sum[capacity.value] = {};
    for (Index h = rows.begin; h < rows.end; ++h)
      for (Index w = columns.begin; w < columns.end; ++w) {
        const T* cell = x + (h * width + w) * channels + c0;
        for (Index c = 0; c < n; ++c) sum[c] += static_cast<C>(cell[c]);
      }
    for (Index c = 0; c < n; ++c) y[c0 + c] = static_cast<T>(sum[c] / cells);
  });
}

// One pixel of dx: for the windows (i,j) that cover it, in order, share(sum, at, i, j, n) adds to n
// channels of sum what the n elements of dy from `at` on give. Pixel `first` of dy is the image's.
template <class T, class Share>
[[gnu::always_inline]] inline void gather_windows(T* dx, Range rows, Range columns, Index first,
                                                  Index width, Index channels, Share&& share) {
  for_each_chunk(channels, [&](Index c0, auto capacity, auto n) {
    ComputeType<T> sum[capacity.value] = {};
    for (Index i = rows.begin; i < rows.end; ++i)
      for (Index j = columns.begin; j < columns.end; ++j)
        share(sum, (first + i * width + j) * channels + c0, i, j, n);
    for (Index c = 0; c < n; ++c) dx[c0 + c] = static_cast<T>(sum[c]);
  });
}

}  // namespace limbeck::cpu

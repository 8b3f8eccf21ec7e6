// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/dropout.h>

#include <algorithm>
#include <cmath>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck {

std::uint32_t dropout_threshold(double p) {
  return static_cast<std::uint32_t>(std::min(std::ceil(p * 0x1p32), 0x1p32 - 1));
}

void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options) {
  LIMBECK_CHECK(y.defined() && x.defined(), "dropout: y or x is undefined");
  LIMBECK_CHECK(options.p >= 0 && options.p < 1, "dropout: p is ", options.p,
                "; expected 0 <= p < 1");
  LIMBECK_CHECK(options.first_element >= 0, "dropout: first_element is ", options.first_element,
                "; expected >= 0");
  LIMBECK_CHECK(options.together >= 1 && options.first_element % options.together == 0 &&
                    x.numel() % options.together == 0,
                "dropout: together is ", options.together, " for ", x.numel(), " elements from ",
                options.first_element, "; expected a divisor >= 1 of both");
  LIMBECK_CHECK(is_floating(x.dtype()), "dropout: x is ", x.dtype(), "; expected a floating dtype");
  LIMBECK_CHECK(y.shape() == x.shape() && y.dtype() == x.dtype() && y.device() == x.device(),
                "dropout: y is ", y.dtype(), y.shape(), " on ", y.device(), ", x ", x.dtype(),
                x.shape(), " on ", x.device(), "; expected equal ones");
  LIMBECK_DISPATCH(x.device(), dropout(y, x, options));
}

namespace cpu {
namespace {

constexpr std::int64_t kBlocks = 16;           // Philox blocks made at once
constexpr std::int64_t kWords = 4 * kBlocks;   // the elements they serve
constexpr std::int64_t kPiece = 256 * kWords;  // elements per task

// words[4 j + w] = word w of block `first` + j. The four planes keep the loop over j a vector loop.
[[gnu::always_inline]] inline void make_words(std::uint32_t* words, const RngStream& stream,
                                              std::uint32_t first) {
  std::uint32_t x[kBlocks], y[kBlocks], z[kBlocks], w[kBlocks];
#pragma omp simd
  for (std::uint32_t j = 0; j < kBlocks; ++j) {
    const Philox4 block = philox_block(stream, first + j);
    x[j] = block.x;
    y[j] = block.y;
    z[j] = block.z;
    w[j] = block.w;
  }
  for (int j = 0; j < kBlocks; ++j) {
    words[4 * j] = x[j];
    words[4 * j + 1] = y[j];
    words[4 * j + 2] = z[j];
    words[4 * j + 3] = w[j];
  }
}

// n elements, the first of which has word `first` of the stream.
template <class T>
[[gnu::always_inline]] inline void drop(T* y, const T* x, std::uint64_t n, std::uint64_t first,
                                        const RngStream& stream, std::uint32_t threshold,
                                        ComputeType<T> keep) {
  using C = ComputeType<T>;
  std::uint32_t words[kWords];
  C kept[kWords];
  for (std::uint64_t i = 0; i < n;) {
    const std::uint64_t skip = (first + i) & 3u;
    const std::uint64_t m = std::min<std::uint64_t>(n - i, kWords - skip);
    make_words(words, stream, static_cast<std::uint32_t>((first + i) >> 2));
    // One loop each: a division or conversion under a condition would be a branch per element.
    for (std::uint64_t j = 0; j < m; ++j) kept[j] = static_cast<C>(x[i + j]) / keep;
    for (std::uint64_t j = 0; j < m; ++j) kept[j] = words[skip + j] >= threshold ? kept[j] : C(0);
    for (std::uint64_t j = 0; j < m; ++j) y[i + j] = static_cast<T>(kept[j]);
    i += m;
  }
}

// Whole groups are kept or dropped.
template <class T>
void drop_groups(T* y, const T* x, std::int64_t groups, const DropoutOptions& options) {
  const std::uint32_t threshold = dropout_threshold(options.p);
  const auto keep = static_cast<ComputeType<T>>(1 - options.p);
  const std::int64_t size = options.together, first = options.first_element / size;
  const RngStream stream = options.stream.resolved();
  parallel_ranges(groups, kPiece / size + 1, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t g = begin; g < end; ++g) {
      const auto element = static_cast<std::uint64_t>(first + g);
      const bool kept = philox_word(stream, element) >= threshold;
      T* to = y + g * size;
      const T* from = x + g * size;
      simd([=](auto) {
        if (kept)
#pragma omp simd
          for (std::int64_t i = 0; i < size; ++i)
            to[i] = static_cast<T>(static_cast<ComputeType<T>>(from[i]) / keep);
        else
          for (std::int64_t i = 0; i < size; ++i) to[i] = T(0);
      });
    }
  });
}

}  // namespace

void dropout(Tensor& y, const Tensor& x, const DropoutOptions& options) {
  if (options.together > 1)
    return visit_floating(x.dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      drop_groups(y.data<T>(), x.data<T>(), x.numel() / options.together, options);
    });
  const std::uint32_t threshold = dropout_threshold(options.p);
  const RngStream stream = options.stream.resolved();
  const std::int64_t first = options.first_element;
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto keep = static_cast<ComputeType<T>>(1 - options.p);
    T* out = y.data<T>();
    const T* in = x.data<T>();
    parallel_ranges(x.numel(), kPiece, [&](std::int64_t begin, std::int64_t end) {
      simd([&](auto) {
        drop(out + begin, in + begin, static_cast<std::uint64_t>(end - begin),
             static_cast<std::uint64_t>(first + begin), stream, threshold, keep);
      });
    });
  });
}

}  // namespace cpu

}  // namespace limbeck

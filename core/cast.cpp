// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/cast.h>

#include <limbeck/core/parallel.h>
#include <limbeck/core/simd.h>

namespace limbeck::cpu {
namespace {

template <class T>
constexpr bool is_half = std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;

// simd() only where it pays: a step converts halves all the time, and whole numbers once.
template <class Dst, class Src>
void cast_range(Dst* y, const Src* x, std::int64_t begin, std::int64_t end) {
  if constexpr (is_half<Dst> || is_half<Src>)
    simd([&](auto) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) y[i] = convert<float>(x[i]);
    });
  else
    for (std::int64_t i = begin; i < end; ++i) y[i] = convert<Dst>(x[i]);
}

}  // namespace

void cast(Tensor& y, const Tensor& x) {
  visit_dtype(y.dtype(), [&](auto dst_tag) {
    visit_dtype(x.dtype(), [&](auto src_tag) {
      auto* to = y.data<typename decltype(dst_tag)::type>();
      const auto* from = x.data<typename decltype(src_tag)::type>();
      parallel_ranges(y.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
        cast_range(to, from, begin, end);
      });
    });
  });
}

}  // namespace limbeck::cpu

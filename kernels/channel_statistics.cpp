// SPDX-License-Identifier: Apache-2.0
// Means and variances of groups of channels on the CPU.
#include <limbeck/core/math.h>
#include <limbeck/kernels/channel_cut.h>
#include <limbeck/kernels/channel_norm.h>

namespace limbeck::cpu {
namespace {

/// mean_c and m2_c = sum of (x - mean_c)^2 over rows; the mean is corrected by what is left over.
template <class F, class T, class Columns>
[[gnu::always_inline]] inline void moments(F* mean, F* m2, const T* x, std::int64_t rows,
                                           std::int64_t C, Columns columns) {
  F center[kColumns] = {}, rest[kColumns] = {}, squares[kColumns] = {};
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) center[c] += static_cast<F>(x[r * C + c]);
  }
  const auto count = static_cast<F>(rows);
  for (std::int64_t c = 0; c < columns; ++c) center[c] /= count;
  for (std::int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (std::int64_t c = 0; c < columns; ++c) {
      const F difference = static_cast<F>(x[r * C + c]) - center[c];
      rest[c] += difference;
      squares[c] = math::fma(difference, difference, squares[c]);
    }
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    mean[c] = center[c] + rest[c] / count;
    m2[c] = squares[c] - rest[c] * (rest[c] / count);
  }
}

/// Moments (pieces,2,C) of one sample's pieces, merged into those of its groups.
template <class F>
void merge(F* mean, F* variance, const F* moments, const ChannelCut& cut) {
  const std::int64_t C = cut.C, width = C / cut.G;
  std::vector<double> center(static_cast<std::size_t>(C)), squares(center);
  for (std::int64_t p = 0; p < cut.pieces; ++p) {
    const auto count = static_cast<double>(cut.rows_of(p));
    for (std::int64_t c = 0; c < C; ++c) center[c] += count * moments[2 * p * C + c];
  }
  for (double& c : center) c /= static_cast<double>(cut.R);
  for (std::int64_t p = 0; p < cut.pieces; ++p) {
    const auto count = static_cast<double>(cut.rows_of(p));
    for (std::int64_t c = 0; c < C; ++c) {
      const double apart = moments[2 * p * C + c] - center[c];
      squares[c] += moments[(2 * p + 1) * C + c] + count * (apart * apart);
    }
  }
  for (std::int64_t g = 0; g < cut.G; ++g) {
    double total = 0, m2 = 0;
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) total += center[c];
    const double middle = total / static_cast<double>(width);
    for (std::int64_t c = g * width; c < (g + 1) * width; ++c) {
      const double apart = center[c] - middle;
      m2 += squares[c] + static_cast<double>(cut.R) * (apart * apart);
    }
    mean[g] = static_cast<F>(middle);
    variance[g] = static_cast<F>(m2 / static_cast<double>(width * cut.R));
  }
}

}  // namespace

void channel_statistics(Tensor& mean, Tensor& variance, const Tensor& x) {
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using F = ComputeType<T>;
    const ChannelCut cut(x, mean);
    const std::int64_t C = cut.C;
    Tensor pieces = Tensor::empty({cut.N * cut.pieces, 2, C}, dtype_of<F>());
    F* found = pieces.data<F>();
    const T* in = x.data<T>();
    cut.for_each_piece([=](std::int64_t n, std::int64_t p, std::int64_t first, std::int64_t rows) {
      F* to = found + 2 * (n * cut.pieces + p) * C;
      for_each_block(C, [=](std::int64_t c, auto columns) {
        moments(to + c, to + C + c, in + first + c, rows, C, columns);
      });
    });
    F *means = mean.data<F>(), *variances = variance.data<F>();
    parallel_for(cut.N, [=](std::int64_t n) {
      merge(means + n * cut.G, variances + n * cut.G, found + 2 * n * cut.pieces * C, cut);
    });
  });
}

}  // namespace limbeck::cpu

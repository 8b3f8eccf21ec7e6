// SPDX-License-Identifier: Apache-2.0
// Internal: the exact matrix product on the CPU, summed in float or double, over any strides.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <limbeck/core/simd.h>

namespace limbeck::cpu {

/// A matrix by pointer and strides: element (i,j) is p[i * row + j * col].
template <class T>
struct Strided {
  T* p;
  std::int64_t row;
  std::int64_t col;
};

/// What happens to a finished element: c += bias_j (when not null), then 0 if c < 0 (when relu).
template <class T>
struct GemmEpilogue {
  const T* bias = nullptr;  ///< one per column of c
  bool relu = false;
};

/// c (m,n) = a (m,k) b (k,n), or += when add; row i of c starts at c + i * ldc. Each c_ij is one
/// chain of fused multiply-adds over k = 0..k-1 from 0 (or from c_ij), then the epilogue: its bits
/// do not depend on m, n, threads, blocking or instruction set. T is float or double, and In the
/// same, or BFloat16 or Float16 where T is float. c must not overlap a or b.
template <class T, class In = T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Strided<const In> a, Strided<const In> b,
          T* c, std::int64_t ldc, bool add, const GemmEpilogue<T>& epilogue = {});

/// One such product. `packed` may stand for b, which is then not read.
template <class T, class In = T>
struct GemmProblem {
  std::int64_t m = 0, n = 0, k = 0;
  Strided<const In> a = {}, b = {};
  T* c = nullptr;
  std::int64_t ldc = 0;
  bool add = false;
  GemmEpilogue<T> epilogue = {};
  const T* packed = nullptr;  ///< PackedMatrix::strips(n, k)
};

/// Several products, at most 8, side by side in one parallel loop, each as gemm() computes it.
template <class T, class In = T>
void gemm_all(std::span<const GemmProblem<T, In>> problems);

/// b (k,n) in the order in which products of many a read it: packing costs a small product as much
/// time as its multiplications.
template <class T>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  template <class In>
  PackedMatrix(std::int64_t n, std::int64_t k, Strided<const In> b);
  /// Null when it is of other extents, or was packed for another instruction set.
  const T* strips(std::int64_t n, std::int64_t k) const;

 private:
  std::int64_t n_ = 0, k_ = 0;
  CpuIsa isa_ = CpuIsa::portable;
  std::shared_ptr<T> data_;
};

}  // namespace limbeck::cpu

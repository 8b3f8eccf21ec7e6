// SPDX-License-Identifier: Apache-2.0
// Internal, GPU builds only: matrix products from cuBLASLt. cublas.cpp says of a product of tensors
// what the library is told; cublas.cu tells it, and on the emulated GPU tests/simt/cublas.cpp
// checks every word and computes from pointers and leading dimensions.
#pragma once

#include <compare>
#include <cstddef>

#include <limbeck/core/out.h>
#include <limbeck/core/tensor.h>
#include <limbeck/kernels/matmul.h>

namespace limbeck::cublas {

/// As limbeck::matmul, for M, N, K >= 1.
void matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out);

/// y (N,O) = x (N,I) w^T + bias, written, and with `relu` the maximum of that and 0, in one launch;
/// w (O,I), bias (O) or undefined; N, O, I >= 1.
void linear(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu);

/// A matrix in device memory, column-major as the library has it: element (i,j) of rows x columns
/// is p[i + j * leading].
struct Matrix {
  void* p = nullptr;
  DType dtype = DType::f32;
  std::int64_t rows = 0, columns = 0;
  std::int64_t leading = 0;  ///< >= rows
  auto operator<=>(const Matrix&) const = default;
};

enum class Epilogue { none, relu, bias, relu_bias };

/// One call of the library: c = epilogue(alpha op(a) op(b) + beta c), summed in f32. a and b of one
/// dtype, f32, bf16 or f16; c of the same or f32, and no part of a or b. c is not read when beta is
/// 0.
struct Product {
  const char* call = "";  ///< for messages
  int device = 0;
  Matrix a, b, c;
  bool transpose_a = false, transpose_b = false;
  bool tf32 = false;  ///< f32 factors may be rounded to TF32
  float alpha = 1, beta = 0;
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;  ///< of c's dtype, one per row of c, when the epilogue has it
  void* workspace = nullptr;   ///< 16-byte aligned; only while the call runs
  std::size_t workspace_bytes = 0;
  auto operator<=>(const Product&) const = default;
};

/// What multiply needs for this product, whose workspace is not looked at.
std::size_t workspace_bytes(const Product& product);
/// Queues it on the device's selected stream.
void multiply(const Product& product);

}  // namespace limbeck::cublas

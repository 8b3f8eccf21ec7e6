// SPDX-License-Identifier: Apache-2.0
// cuBLASLt on the emulated GPU (kernels/cublas.h): refuses what the library refuses or may do
// anything with, and computes from the pointers and leading dimensions it was given.
#include <cstring>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/kernels/cublas.h>
#include <limbeck/tests/simt/library.h>
#include <limbeck/tests/simt/memory.h>

namespace limbeck::cublas {
namespace {

using Index = std::int64_t;
using limbeck::detail::concat;

struct Extent {
  const char* name;
  const void* p;
  std::size_t bytes;
  std::size_t alignment;
};

std::size_t element(const Matrix& m) { return dtype_size(m.dtype); }
Extent extent_of(const char* name, const Matrix& m) {
  const auto elements = static_cast<std::size_t>((m.columns - 1) * m.leading + m.rows);
  return {name, m.p, elements * element(m), element(m)};
}

template <class... Parts>
[[noreturn]] void refuse(const Product& p, const Parts&... parts) {
  throw CudaError(concat(p.call, ": ", parts...));
}

void check_matrix(const Product& p, const char* name, const Matrix& m) {
  if (m.dtype != DType::f32 && m.dtype != DType::bf16 && m.dtype != DType::f16)
    refuse(p, name, " is ", m.dtype, "; expected f32, bf16 or f16");
  if (m.rows < 1 || m.columns < 1)
    refuse(p, name, " is ", m.rows, " x ", m.columns, "; expected at least 1 x 1");
  if (m.leading < m.rows)
    refuse(p, name, " has leading dimension ", m.leading, "; expected at least its ", m.rows,
           " rows");
}

Index m_of(const Product& p) { return p.transpose_a ? p.a.columns : p.a.rows; }
Index k_of(const Product& p) { return p.transpose_a ? p.a.rows : p.a.columns; }

void check_shapes(const Product& p) {
  const Index k = p.transpose_b ? p.b.columns : p.b.rows;
  const Index n = p.transpose_b ? p.b.rows : p.b.columns;
  if (k_of(p) != k)
    refuse(p, "op(a) is ", m_of(p), " x ", k_of(p), ", op(b) ", k, " x ", n,
           "; expected m x k and k x n");
  if (p.c.rows != m_of(p) || p.c.columns != n)
    refuse(p, "c is ", p.c.rows, " x ", p.c.columns, "; expected ", m_of(p), " x ", n);
}

void check_dtypes(const Product& p) {
  if (p.a.dtype != p.b.dtype) refuse(p, "a is ", p.a.dtype, ", b ", p.b.dtype, "; expected equal");
  if (p.c.dtype != p.a.dtype && p.c.dtype != DType::f32)
    refuse(p, "c is ", p.c.dtype, "; expected ", p.a.dtype, " as a and b, or f32");
  if (p.tf32 && p.a.dtype != DType::f32) refuse(p, "TF32 with a in ", p.a.dtype, "; expected f32");
}

bool has_bias(const Product& p) {
  return p.epilogue == Epilogue::bias || p.epilogue == Epilogue::relu_bias;
}
std::vector<Extent> reads(const Product& p) {
  std::vector<Extent> extents = {extent_of("a", p.a), extent_of("b", p.b)};
  if (has_bias(p)) extents.push_back(extent_of("bias", {p.bias, p.c.dtype, p.c.rows, 1, p.c.rows}));
  return extents;
}

void check_memory(const Product& p, const Extent& e) {
  if (!simt::find_allocation(e.p).contains(e.p, e.bytes))
    refuse(p, e.name, ": ", e.bytes, " bytes at ", e.p, " are not in one live device allocation");
  if (reinterpret_cast<std::uintptr_t>(e.p) % e.alignment != 0)
    refuse(p, e.name, " at ", e.p, " is not aligned to ", e.alignment, " bytes");
}

void check_apart(const Product& p, const Extent& written, const Extent& other) {
  const auto begin = [](const Extent& e) { return reinterpret_cast<std::uintptr_t>(e.p); };
  if (begin(written) < begin(other) + other.bytes && begin(other) < begin(written) + written.bytes)
    refuse(p, written.name, " at ", written.p, " of ", written.bytes, " bytes overlaps ",
           other.name, " at ", other.p, " of ", other.bytes);
}

// All but the workspace. Extents that only interleave are refused as well.
void check_operands(const Product& p) {
  check_matrix(p, "a", p.a);
  check_matrix(p, "b", p.b);
  check_matrix(p, "c", p.c);
  check_shapes(p);
  check_dtypes(p);
  if (has_bias(p) != (p.bias != nullptr))
    refuse(p, "bias is at ", p.bias, "; expected one with an epilogue that adds it, else none");
  const Extent c = extent_of("c", p.c);
  check_memory(p, c);
  for (const Extent& e : reads(p)) {
    check_memory(p, e);
    check_apart(p, c, e);
  }
}

void check_workspace(const Product& p, std::size_t needed) {
  if (p.workspace_bytes < needed)
    refuse(p, "workspace of ", p.workspace_bytes, " bytes; expected at least ", needed);
  if (p.workspace_bytes == 0) return;
  const Extent workspace = {"workspace", p.workspace, p.workspace_bytes, 16};
  check_memory(p, workspace);
  check_apart(p, workspace, extent_of("c", p.c));
  for (const Extent& e : reads(p)) check_apart(p, workspace, e);
}

// The matrix on the host as a row-major (columns, rows) tensor of f32, its transpose.
Tensor gather(const Matrix& m) {
  Tensor t = Tensor::empty({m.columns, m.rows}, m.dtype);
  for (Index j = 0; j < m.columns; ++j)
    std::memcpy(
        t.rows(j, j + 1).raw(),
        static_cast<const char*>(m.p) + static_cast<std::size_t>(j * m.leading) * element(m),
        static_cast<std::size_t>(m.rows) * element(m));
  return t.to(DType::f32);
}

void scatter(const Matrix& m, const Tensor& wide) {
  Tensor t = wide.to(m.dtype);
  char* to = static_cast<char*>(const_cast<void*>(m.p));
  for (Index j = 0; j < m.columns; ++j)
    std::memcpy(to + static_cast<std::size_t>(j * m.leading) * element(m), t.rows(j, j + 1).raw(),
                static_cast<std::size_t>(m.rows) * element(m));
}

// c = op(a) op(b) is c^T = op(b)^T op(a)^T.
Tensor product_transposed(const Product& p) {
  const auto trans = [](bool yes) { return yes ? Trans::yes : Trans::no; };
  Tensor c = Tensor::empty({p.c.columns, p.c.rows});
  cpu::matmul(c, gather(p.b), trans(p.transpose_b), gather(p.a), trans(p.transpose_a), Out::write);
  return c;
}

void compute(const Product& p) {
  Tensor result = product_transposed(p);
  const Tensor old = p.beta != 0 ? gather(p.c) : Tensor();
  const Tensor bias =
      p.bias ? gather({p.bias, p.c.dtype, p.c.rows, 1, p.c.rows}) : Tensor::zeros({1, p.c.rows});
  const bool relu = p.epilogue == Epilogue::relu || p.epilogue == Epilogue::relu_bias;
  for (Index j = 0; j < p.c.columns; ++j)
    for (Index i = 0; i < p.c.rows; ++i) {
      float& x = result.data<float>()[j * p.c.rows + i];
      x *= p.alpha;
      if (old.defined()) x += p.beta * old.data<float>()[j * p.c.rows + i];
      x += bias.data<float>()[i];
      if (relu && x < 0) x = 0;
    }
  scatter(p.c, result);
}

}  // namespace

// As if k were split in two where it is long, with the second half's sums kept here.
std::size_t workspace_bytes(const Product& p) {
  check_operands(p);
  return k_of(p) < 32 ? 0 : static_cast<std::size_t>(p.c.rows * p.c.columns) * sizeof(float);
}

void multiply(const Product& p) {
  check_workspace(p, workspace_bytes(p));
  simt::enqueue_call([p] {
    check_workspace(p, workspace_bytes(p));  // all of it may be gone by now
    const simt::DeviceMemoryAccess open;
    if (p.workspace) std::memset(p.workspace, 0xff, p.workspace_bytes);
    compute(p);
  });
}

}  // namespace limbeck::cublas

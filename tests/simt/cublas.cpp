// SPDX-License-Identifier: Apache-2.0
// cuBLASLt on the emulated GPU (kernels/cublas.h): refuses what the library refuses or may do
// anything with, and computes from the pointers and leading dimensions it was given.
#include <limbeck/kernels/cublas.h>

#include <cstring>
#include <vector>

#include <limbeck/core/error.h>
#include <limbeck/tests/simt/library.h>
#include <limbeck/tests/simt/memory.h>
#include <limbeck/tests/simt/queue.h>

namespace limbeck::cublas {
namespace {

using Index = std::int64_t;
using limbeck::detail::concat;
using simt::Operand;

template <class... Parts>
void require(const Product& p, bool condition, const Parts&... parts) {
  if (!condition) throw CudaError(concat(p.call, ": ", parts...));
}

/// The matrix in the order (columns, rows), which is how it lies in memory.
Operand operand(const Product& p, const char* name, const Matrix& m) {
  return {p.call, name, m.p, m.dtype, {m.columns, m.rows}, {m.leading, 1}};
}

bool has_bias(const Product& p) {
  return p.epilogue == Epilogue::bias || p.epilogue == Epilogue::relu_bias;
}

struct Operands {
  Operand c;
  std::vector<Operand> read;  // a, b and the bias if there is one

  explicit Operands(const Product& p)
      : c(operand(p, "c", p.c)), read{operand(p, "a", p.a), operand(p, "b", p.b)} {
    if (has_bias(p))
      read.push_back({p.call, "bias", const_cast<void*>(p.bias), p.c.dtype, {p.c.rows}, {1}});
  }
};

Index m_of(const Product& p) { return p.transpose_a ? p.a.columns : p.a.rows; }
Index k_of(const Product& p) { return p.transpose_a ? p.a.rows : p.a.columns; }

void check_matrix(const Product& p, const char* name, const Matrix& m) {
  require(p, m.dtype == DType::f32 || m.dtype == DType::bf16 || m.dtype == DType::f16, name, " is ",
          m.dtype, "; expected f32, bf16 or f16");
  require(p, m.rows >= 1 && m.columns >= 1, name, " is ", m.rows, " x ", m.columns,
          "; expected at least 1 x 1");
  require(p, m.leading >= m.rows, name, " has leading dimension ", m.leading,
          "; expected at least its ", m.rows, " rows");
}

void check_shapes(const Product& p) {
  const Index k = p.transpose_b ? p.b.columns : p.b.rows;
  const Index n = p.transpose_b ? p.b.rows : p.b.columns;
  require(p, k_of(p) == k, "op(a) is ", m_of(p), " x ", k_of(p), ", op(b) ", k, " x ", n,
          "; expected m x k and k x n");
  require(p, p.c.rows == m_of(p) && p.c.columns == n, "c is ", p.c.rows, " x ", p.c.columns,
          "; expected ", m_of(p), " x ", n);
}

void check_dtypes(const Product& p) {
  require(p, p.a.dtype == p.b.dtype, "a is ", p.a.dtype, ", b ", p.b.dtype, "; expected equal");
  require(p, p.c.dtype == p.a.dtype || p.c.dtype == DType::f32, "c is ", p.c.dtype, "; expected ",
          p.a.dtype, " as a and b, or f32");
  require(p, !p.tf32 || p.a.dtype == DType::f32, "TF32 with a in ", p.a.dtype, "; expected f32");
}

/// All but the workspace.
void check_operands(const Product& p) {
  require(p, p.device == 0, "device ", p.device, "; expected 0");
  check_matrix(p, "a", p.a);
  check_matrix(p, "b", p.b);
  check_matrix(p, "c", p.c);
  check_shapes(p);
  check_dtypes(p);
  require(p, has_bias(p) == (p.bias != nullptr), "bias is at ", p.bias,
          "; expected one with an epilogue that adds it, else none");
  const Operands all(p);
  all.c.check(dtype_size(all.c.dtype));
  for (const Operand& o : all.read) {
    o.check(dtype_size(o.dtype));
    check_apart(all.c, o);
  }
}

void check(const Product& p) {
  const std::size_t needed = workspace_bytes(p);
  require(p, p.workspace_bytes >= needed, "workspace of ", p.workspace_bytes,
          " bytes; expected at least ", needed);
  if (p.workspace_bytes == 0) return;
  const Operand workspace = simt::workspace(p.call, p.workspace, p.workspace_bytes);
  workspace.check(16);
  const Operands all(p);
  check_apart(workspace, all.c);
  for (const Operand& o : all.read) check_apart(workspace, o);
}

/// op(a) op(b), (n,m) in row-major order: its transpose, from op(b)^T op(a)^T.
Tensor product(const Product& p, const Operands& all) {
  const auto trans = [](bool yes) { return yes ? Trans::yes : Trans::no; };
  Tensor c = Tensor::empty({p.c.columns, p.c.rows});
  cpu::matmul(c, factor(all.read[1], p.tf32), trans(p.transpose_b), factor(all.read[0], p.tf32),
              trans(p.transpose_a), Out::write);
  return c;
}

void compute(const Product& p) {
  const Operands all(p);
  if (p.workspace_bytes > 0) {
    const simt::DeviceMemoryAccess open;
    std::memset(p.workspace, 0xff, p.workspace_bytes);
  }
  Tensor result = product(p, all);
  const Tensor before = p.beta == 0 ? result : all.c.gather().to(DType::f32);
  const Tensor bias = has_bias(p) ? all.read[2].gather().to(DType::f32) : Tensor();
  const bool relu = p.epilogue == Epilogue::relu || p.epilogue == Epilogue::relu_bias;
  for (Index i = 0; i < result.numel(); ++i) {
    float& x = result.data<float>()[i];
    x = p.alpha * x + (p.beta == 0 ? 0 : p.beta * before.data<float>()[i]);
    if (bias.defined()) x += bias.data<float>()[i % p.c.rows];
    if (relu && x < 0) x = 0;
  }
  all.c.scatter(result.to(p.c.dtype));
}

}  // namespace

// As if k were split in two where it is long, with the second half's sums kept here.
std::size_t workspace_bytes(const Product& p) {
  check_operands(p);
  return k_of(p) < 32 ? 0 : static_cast<std::size_t>(p.c.rows * p.c.columns) * sizeof(float);
}

void multiply(const Product& p) {
  check(p);
  simt::enqueue([p] {
    check(p);  // all of it may be gone by now
    compute(p);
  });
}

}  // namespace limbeck::cublas

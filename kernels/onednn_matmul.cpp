// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <limbeck/core/parallel.h>
#include <limbeck/kernels/onednn.h>
#include <limbeck/kernels/onednn_primitive.h>

namespace limbeck::onednn {
namespace {

using dnnl::memory;

memory::data_type type_of(const Tensor& t) {
  return t.dtype() == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

// A block of one operand. Strides are in elements.
struct Operand {
  const char* p;
  memory::data_type type;
  Index rows, cols, row_stride, col_stride;

  explicit Operand(const Tensor& t, Trans trans = Trans::no)
      : p(static_cast<const char*>(t.raw())),
        type(type_of(t)),
        rows(t.dim(0)),
        cols(t.dim(1)),
        row_stride(t.dim(1)),
        col_stride(1) {
    if (trans == Trans::no) return;
    std::swap(rows, cols);
    std::swap(row_stride, col_stride);
  }
  Operand block(Index i, Index block_rows, Index j, Index block_cols) const {
    Operand part = *this;
    part.p += (i * row_stride + j * col_stride) * (type == memory::data_type::bf16 ? 2 : 4);
    part.rows = block_rows;
    part.cols = block_cols;
    return part;
  }
  Desc desc() const { return Desc({rows, cols}, type, memory::dims{row_stride, col_stride}); }
};

// c = a b (+ c when add) (+ bias) (clipped at 0 when relu).
struct Product {
  Operand c, a, b;
  bool add = false;
  const char* bias = nullptr;  // of c's type, one per column
  bool relu = false;

  Product block(Index i, Index rows, Index j, Index cols) const {
    const Index element = c.type == memory::data_type::bf16 ? 2 : 4;
    return {c.block(i, rows, j, cols),
            a.block(i, rows, 0, a.cols),
            b.block(0, b.rows, j, cols),
            add,
            bias == nullptr ? nullptr : bias + j * element,
            relu};
  }
  Desc bias_desc() const { return Desc({1, c.cols}, c.type, Tag::ab); }
};

std::shared_ptr<const Operation> operation_of(const Product& p) {
  const Index flags = Index(p.add) | Index(p.relu) << 1 | Index(p.bias != nullptr) << 2;
  const Key key = {kMatmul,        p.c.rows,        p.a.cols,        p.c.cols,
                   p.a.row_stride, p.a.col_stride,  p.b.row_stride,  p.b.col_stride,
                   p.c.row_stride, Index(p.a.type), Index(p.b.type), Index(p.c.type),
                   flags};
  return cached(key, [&] {
    const auto attr = attributes(p.add, p.relu);
    return make_operation<dnnl::matmul>(
        p.bias != nullptr
            ? make_desc<dnnl::matmul>(attr, p.a.desc(), p.b.desc(), p.bias_desc(), p.c.desc())
            : make_desc<dnnl::matmul>(attr, p.a.desc(), p.b.desc(), p.c.desc()));
  });
}

void run_product(const Operation& operation, const Product& p) {
  Arguments arguments = {{DNNL_ARG_SRC, wrap(p.a.desc(), p.a.p)},
                         {DNNL_ARG_WEIGHTS, wrap(p.b.desc(), p.b.p)},
                         {DNNL_ARG_DST, wrap(p.c.desc(), p.c.p)}};
  if (p.bias != nullptr) arguments.emplace(DNNL_ARG_BIAS, wrap(p.bias_desc(), p.bias));
  run(operation, std::move(arguments));
}

// One block per thread of c's longer side, so that little of a or b is read twice.
bool multiply(const Product& p) {
  if (p.c.rows == 0 || p.c.cols == 0 || p.b.rows == 0) return false;
  const bool by_rows = p.c.rows > p.c.cols;
  const Index length = by_rows ? p.c.rows : p.c.cols;
  const Index blocks = std::clamp<Index>(length / 64, 1, num_threads());
  const Index size = ((length + blocks - 1) / blocks + 15) / 16 * 16;
  const auto block = [&](Index begin) {
    const Index n = std::min(size, length - begin);
    return by_rows ? p.block(begin, n, 0, p.c.cols) : p.block(0, p.c.rows, begin, n);
  };
  const Index last = (length - 1) / size * size;
  const auto operation = operation_of(block(0)), last_operation = operation_of(block(last));
  if (operation == nullptr || last_operation == nullptr) return false;
  parallel_ranges(length, size, [&](Index begin, Index) {
    run_product(begin == last ? *last_operation : *operation, block(begin));
  });
  return true;
}

bool has_type(const Tensor& t) { return t.dtype() == DType::f32 || t.dtype() == DType::bf16; }

}  // namespace

bool matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  if (!has_type(c) || !has_type(a)) return false;
  return multiply({Operand(c), Operand(a, trans_a), Operand(b, trans_b), out == Out::add});
}

bool linear_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias, bool relu) {
  if (!has_type(y)) return false;
  const char* b = bias.defined() ? static_cast<const char*>(bias.raw()) : nullptr;
  return multiply({Operand(y), Operand(x), Operand(w, Trans::yes), false, b, relu});
}

}  // namespace limbeck::onednn

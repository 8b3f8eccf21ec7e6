// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/onednn.h>

#include <omp.h>

#include <algorithm>
#include <map>
#include <mutex>

#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/onednn_primitive.h>

namespace limbeck::onednn {
namespace {

// OpenMP's thread count belongs to the thread that sets it, and to the embedding program.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = omp_get_max_threads();
};

}  // namespace

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::primitive_attr attributes(bool add) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (add) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attr.set_post_ops(ops);
  }
  return attr;
}

std::shared_ptr<const Operation> cached(const Key& key,
                                        const std::function<std::shared_ptr<Operation>()>& make) {
  static std::mutex mutex;
  static std::map<Key, std::shared_ptr<const Operation>> operations;
  std::lock_guard lock(mutex);
  const auto found = operations.find(key);
  if (found != operations.end()) return found->second;
  if (operations.size() >= 1024) operations.clear();  // batches of ever new sizes
  const OneThread one_thread;
  return operations[key] = make();
}

void execute(const dnnl::primitive& primitive, const Arguments& arguments) {
  const OneThread one_thread;
  static thread_local dnnl::stream stream(engine());
  primitive.execute(stream, arguments);
  stream.wait();
}

void run(const Operation& operation, Arguments arguments) {
  const auto scratch = pool_allocate(Device::cpu(), operation.scratchpad.get_size());
  arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(operation.scratchpad, scratch.get()));
  execute(operation.primitive, arguments);
}

namespace {

using dnnl::memory;

// One operand of a product: dims and strides in elements.
struct Operand {
  const void* p;
  memory::data_type type;
  Index rows, cols, row_stride, col_stride;

  Operand(const Tensor& t, Trans trans = Trans::no)
      : p(t.raw()),
        type(t.dtype() == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32),
        rows(t.dim(0)),
        cols(t.dim(1)),
        row_stride(t.dim(1)),
        col_stride(1) {
    if (trans == Trans::no) return;
    std::swap(rows, cols);
    std::swap(row_stride, col_stride);
  }
  Desc desc(Index first_rows) const {
    return Desc({first_rows, cols}, type, memory::dims{row_stride, col_stride});
  }
  const void* row(Index i) const {
    return static_cast<const char*>(p) + i * row_stride * (type == memory::data_type::bf16 ? 2 : 4);
  }
};

std::shared_ptr<const Operation> product_of(Index rows, const Operand& a, const Operand& b,
                                            const Operand& c, bool add) {
  const Key key = {kMatmul,       rows,          b.rows,        b.cols,
                   a.row_stride,  a.col_stride,  b.row_stride,  b.col_stride,
                   Index(a.type), Index(b.type), Index(c.type), add};
  return cached(key, [&] {
    return make_operation<dnnl::matmul>(
        make_desc<dnnl::matmul>(attributes(add), a.desc(rows), b.desc(b.rows), c.desc(rows)));
  });
}

// c = a b, or += : one block of rows of c per task.
bool multiply(const Operand& c, const Operand& a, const Operand& b, bool add) {
  if (c.rows == 0 || c.cols == 0 || b.rows == 0) return false;
  const Index blocks = std::clamp<Index>(c.rows / 32, 1, num_threads());
  const Index block = (c.rows + blocks - 1) / blocks;
  const Index rest = c.rows - (c.rows - 1) / block * block;
  const auto operation = product_of(block, a, b, c, add), last = product_of(rest, a, b, c, add);
  if (operation == nullptr || last == nullptr) return false;
  parallel_ranges(c.rows, block, [&](Index begin, Index end) {
    const Index rows = end - begin;
    run(rows == block ? *operation : *last, {{DNNL_ARG_SRC, wrap(a.desc(rows), a.row(begin))},
                                             {DNNL_ARG_WEIGHTS, wrap(b.desc(b.rows), b.p)},
                                             {DNNL_ARG_DST, wrap(c.desc(rows), c.row(begin))}});
  });
  return true;
}

Tensor round_to_bf16(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape(), DType::bf16);
  const float* in = x.data<float>();
  BFloat16* out = y.data<BFloat16>();
  parallel_ranges(x.numel(), 32768, [&](Index begin, Index end) {
    simd([&](auto) {
      for (Index i = begin; i < end; ++i) out[i] = BFloat16(in[i]);
    });
  });
  return y;
}

}  // namespace

bool available() { return true; }

bool matmul(Tensor& c, const Tensor& a, Trans trans_a, const Tensor& b, Trans trans_b, Out out) {
  if (c.dtype() != DType::f32 && c.dtype() != DType::bf16) return false;
  return multiply(c, {a, trans_a}, {b, trans_b}, out == Out::add);
}

bool matmul_bf16_weight(Tensor& c, const Tensor& a, const Tensor& b) {
  return multiply(c, round_to_bf16(a), {b, Trans::yes}, false);
}

}  // namespace limbeck::onednn

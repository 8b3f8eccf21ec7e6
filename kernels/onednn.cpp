// SPDX-License-Identifier: Apache-2.0
// Every primitive runs on one thread and limbeck's pool runs several of them on blocks of the work:
// oneDNN's own OpenMP threads would wait for each other in barriers and fight with the pool. The
// interface of versions 2 and 3 differs in make_desc only.
#include <limbeck/kernels/onednn.h>

#include <omp.h>

#include <algorithm>
#include <array>
#include <dnnl.hpp>
#include <map>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>

namespace limbeck::onednn {
namespace {

using dnnl::memory;
using Index = std::int64_t;
using Desc = memory::desc;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

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

dnnl::primitive_attr user_scratchpad(bool add = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (add) {
    dnnl::post_ops ops;
    ops.append_sum(1.0f);
    attr.set_post_ops(ops);
  }
  return attr;
}

// The primitive descriptor of type P for the given arguments; empty when oneDNN has none.
template <class P, class... Args>
typename P::primitive_desc make_desc(const dnnl::primitive_attr& attr, const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine(), args..., attr, true);
#else
  return typename P::primitive_desc(typename P::desc(args...), attr, engine(), true);
#endif
}

// As make_desc, for a backward pass, which takes its forward pass as a hint.
template <class P, class Hint, class... Args>
typename P::primitive_desc make_backward_desc(const Hint& hint, const Args&... args) {
  if (!hint) return {};
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine(), args..., hint, user_scratchpad(), true);
#else
  return typename P::primitive_desc(typename P::desc(args...), user_scratchpad(), engine(), hint,
                                    true);
#endif
}

// A primitive and what it wants to be given. `reorder` brings weights from limbeck's layout into
// oneDNN's, or a weight gradient back.
struct Operation {
  dnnl::primitive primitive;
  Desc scratchpad, weights;
  dnnl::primitive reorder;
};

// Null when there is no implementation but the reference one, which is hundreds of times slower.
template <class P, class PrimitiveDesc>
std::shared_ptr<Operation> make_operation(const PrimitiveDesc& desc) {
  if (!desc) return nullptr;
  if (std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos) return nullptr;
  return std::make_shared<Operation>(Operation{P(desc), desc.scratchpad_desc(), {}, {}});
}

using Key = std::array<Index, 16>;
enum Kind : Index { kMatmul, kForward, kBackwardData, kBackwardWeight };

// The operation for `key`, made at its first use.
template <class Make>
std::shared_ptr<const Operation> cached(const Key& key, Make&& make) {
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
  static thread_local dnnl::stream stream(engine());
  primitive.execute(stream, arguments);
  stream.wait();
}

void run(const Operation& operation, Arguments arguments) {
  const OneThread one_thread;
  const auto scratch = pool_allocate(Device::cpu(), operation.scratchpad.get_size());
  arguments.emplace(DNNL_ARG_SCRATCHPAD, memory(operation.scratchpad, engine(), scratch.get()));
  execute(operation.primitive, arguments);
}

memory wrap(const Desc& desc, const void* p) {
  return memory(desc, engine(), const_cast<void*>(p));
}

template <class T>
const T* offset(const T* p, Index elements, std::size_t element_size) {
  return p + elements * static_cast<Index>(element_size);
}

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
    return offset(static_cast<const char*>(p), i * row_stride, memory::data_type_size(type));
  }
};

std::shared_ptr<const Operation> product_of(Index rows, const Operand& a, const Operand& b,
                                            const Operand& c, bool add) {
  const Key key = {kMatmul,       rows,          b.rows,        b.cols,
                   a.row_stride,  a.col_stride,  b.row_stride,  b.col_stride,
                   Index(a.type), Index(b.type), Index(c.type), add};
  return cached(key, [&] {
    return make_operation<dnnl::matmul>(
        make_desc<dnnl::matmul>(user_scratchpad(add), a.desc(rows), b.desc(b.rows), c.desc(rows)));
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

// The shapes of one convolution, in oneDNN's order (N,C,H,W) and (O,C,KH,KW).
struct Convolution {
  memory::dims x, w, y, stride, padding;

  Convolution(const Tensor& x_, const Tensor& w_, const Tensor& y_, const Conv2dOptions& o)
      : x(nchw(x_)),
        w(nchw(w_)),
        y(nchw(y_)),
        stride{o.stride, o.stride},
        padding{o.padding, o.padding} {}
  static memory::dims nchw(const Tensor& t) { return {t.dim(0), t.dim(3), t.dim(1), t.dim(2)}; }

  static Desc f32(memory::dims dims, Tag tag) { return Desc(dims, memory::data_type::f32, tag); }
  Desc image(memory::dims dims, Index n) const {
    dims[0] = n;
    return f32(dims, Tag::nhwc);
  }
  Desc plain_weights() const { return f32(w, Tag::ohwi); }
  Key key(Kind kind, Index n, bool bias = false) const {
    return {kind, n, x[1], x[2], x[3], w[0], w[2], w[3], stride[0], padding[0], bias};
  }

  dnnl::convolution_forward::primitive_desc forward(Index n, bool bias) const {
    const auto training = dnnl::prop_kind::forward_training;
    const auto direct = dnnl::algorithm::convolution_direct;
    const Desc weights = f32(w, Tag::any);
    if (bias)
      return make_desc<dnnl::convolution_forward>(user_scratchpad(), training, direct, image(x, n),
                                                  weights, f32({w[0]}, Tag::x), image(y, n), stride,
                                                  padding, padding);
    return make_desc<dnnl::convolution_forward>(user_scratchpad(), training, direct, image(x, n),
                                                weights, image(y, n), stride, padding, padding);
  }
};

dnnl::primitive make_reorder(const Desc& from, const Desc& to) {
  return dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
}

// Images per task: at most `chunks` chunks, whatever the number of threads.
Index chunk_size(Index images, Index chunks) { return (images + chunks - 1) / chunks; }
Index last_size(Index images, Index chunk) { return images - (images - 1) / chunk * chunk; }

constexpr Index kImageChunks = 16;  // forward and data gradient
constexpr Index kWeightChunks = 8;  // weight gradient: each has a copy of the gradient

// The weights in the layout the operation wants.
std::shared_ptr<void> load_weights(const Operation& operation, const Convolution& conv,
                                   const Tensor& w) {
  const auto packed = pool_allocate(Device::cpu(), operation.weights.get_size());
  const OneThread one_thread;
  execute(operation.reorder, {{DNNL_ARG_FROM, wrap(conv.plain_weights(), w.raw())},
                              {DNNL_ARG_TO, wrap(operation.weights, packed.get())}});
  return packed;
}

// Runs make(n) over chunks of images; arguments(begin, n, weights) gives what each one needs.
template <class Make, class Args>
bool run_image_chunks(const Convolution& conv, const Tensor& w, Make&& make, Args&& arguments) {
  const Index images = conv.x[0];
  if (images == 0) return false;
  const Index chunk = chunk_size(images, kImageChunks);
  const auto operation = make(chunk), last = make(last_size(images, chunk));
  if (operation == nullptr || last == nullptr || operation->weights != last->weights) return false;
  const auto weights = load_weights(*operation, conv, w);
  parallel_ranges(images, chunk, [&](Index begin, Index end) {
    Arguments args = arguments(begin, end - begin);
    args.emplace(DNNL_ARG_WEIGHTS, wrap(operation->weights, weights.get()));
    run(end - begin == chunk ? *operation : *last, args);
  });
  return true;
}

const void* image_at(const Tensor& t, Index n) {
  return static_cast<const float*>(t.raw()) + n * (t.numel() / t.dim(0));
}

// parts[0] += parts[1] + ... in order, element by element.
void sum_in_order(float* parts, Index chunks, Index n) {
  parallel_ranges(n, 16384, [&](Index begin, Index end) {
    simd([&](auto) {
      for (Index c = 1; c < chunks; ++c)
        for (Index i = begin; i < end; ++i) parts[i] += parts[c * n + i];
    });
  });
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

bool conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  if (y.dtype() != DType::f32) return false;
  const Convolution conv(x, w, y, options);
  const auto make = [&](Index n) {
    return cached(conv.key(kForward, n, bias.defined()), [&]() -> std::shared_ptr<Operation> {
      const auto desc = conv.forward(n, bias.defined());
      auto operation = make_operation<dnnl::convolution_forward>(desc);
      if (operation == nullptr) return nullptr;
      operation->weights = desc.weights_desc();
      operation->reorder = make_reorder(conv.plain_weights(), operation->weights);
      return operation;
    });
  };
  return run_image_chunks(conv, w, make, [&](Index begin, Index n) {
    Arguments args = {{DNNL_ARG_SRC, wrap(conv.image(conv.x, n), image_at(x, begin))},
                      {DNNL_ARG_DST, wrap(conv.image(conv.y, n), image_at(y, begin))}};
    if (bias.defined())
      args.emplace(DNNL_ARG_BIAS, wrap(Convolution::f32({conv.w[0]}, Tag::x), bias.raw()));
    return args;
  });
}

bool conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  if (dx.dtype() != DType::f32) return false;
  const Convolution conv(dx, w, dy, options);
  const auto make = [&](Index n) {
    return cached(conv.key(kBackwardData, n), [&]() -> std::shared_ptr<Operation> {
      using P = dnnl::convolution_backward_data;
      const auto desc =
          make_backward_desc<P>(conv.forward(n, false), dnnl::algorithm::convolution_direct,
                                conv.image(conv.x, n), Convolution::f32(conv.w, Tag::any),
                                conv.image(conv.y, n), conv.stride, conv.padding, conv.padding);
      auto operation = make_operation<P>(desc);
      if (operation == nullptr) return nullptr;
      operation->weights = desc.weights_desc();
      operation->reorder = make_reorder(conv.plain_weights(), operation->weights);
      return operation;
    });
  };
  return run_image_chunks(conv, w, make, [&](Index begin, Index n) {
    return Arguments{{DNNL_ARG_DIFF_SRC, wrap(conv.image(conv.x, n), image_at(dx, begin))},
                     {DNNL_ARG_DIFF_DST, wrap(conv.image(conv.y, n), image_at(dy, begin))}};
  });
}

bool conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  if (dw.dtype() != DType::f32 || x.dim(0) == 0) return false;
  const Convolution conv(x, dw, dy, options);
  const auto make = [&](Index n) {
    return cached(conv.key(kBackwardWeight, n), [&]() -> std::shared_ptr<Operation> {
      using P = dnnl::convolution_backward_weights;
      const auto desc =
          make_backward_desc<P>(conv.forward(n, false), dnnl::algorithm::convolution_direct,
                                conv.image(conv.x, n), Convolution::f32(conv.w, Tag::any),
                                conv.image(conv.y, n), conv.stride, conv.padding, conv.padding);
      auto operation = make_operation<P>(desc);
      if (operation == nullptr) return nullptr;
      operation->weights = desc.diff_weights_desc();
      operation->reorder = make_reorder(operation->weights, conv.plain_weights());
      return operation;
    });
  };
  const Index images = x.dim(0), chunk = chunk_size(images, kWeightChunks);
  const auto operation = make(chunk), last = make(last_size(images, chunk));
  if (operation == nullptr || last == nullptr || operation->weights != last->weights) return false;

  const std::size_t bytes = operation->weights.get_size();
  const Index chunks = (images + chunk - 1) / chunk, n = static_cast<Index>(bytes / sizeof(float));
  const auto parts = pool_allocate(Device::cpu(), bytes * static_cast<std::size_t>(chunks));
  float* sum = static_cast<float*>(parts.get());
  parallel_ranges(images, chunk, [&](Index begin, Index end) {
    const Index size = end - begin;
    run(size == chunk ? *operation : *last,
        {{DNNL_ARG_SRC, wrap(conv.image(conv.x, size), image_at(x, begin))},
         {DNNL_ARG_DIFF_DST, wrap(conv.image(conv.y, size), image_at(dy, begin))},
         {DNNL_ARG_DIFF_WEIGHTS, wrap(operation->weights, sum + begin / chunk * n)}});
  });
  sum_in_order(sum, chunks, n);
  Tensor total = out == Out::add ? Tensor::empty(dw.shape()) : dw;
  {
    const OneThread one_thread;
    execute(operation->reorder, {{DNNL_ARG_FROM, wrap(operation->weights, sum)},
                                 {DNNL_ARG_TO, wrap(conv.plain_weights(), total.raw())}});
  }
  if (out == Out::add) {
    float* target = dw.data<float>();
    const float* source = total.data<float>();
    for (Index i = 0; i < dw.numel(); ++i) target[i] += source[i];
  }
  return true;
}

}  // namespace limbeck::onednn

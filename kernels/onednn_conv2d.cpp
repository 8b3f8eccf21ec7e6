// SPDX-License-Identifier: Apache-2.0
#include <limbeck/core/parallel.h>
#include <limbeck/core/pool.h>
#include <limbeck/core/simd.h>
#include <limbeck/kernels/onednn.h>
#include <limbeck/kernels/onednn_primitive.h>

namespace limbeck::onednn {
namespace {

using dnnl::memory;

// The shapes of one convolution, in oneDNN's order (N,C,H,W) and (groups,O/groups,C/groups,KH,KW).
struct Convolution {
  memory::dims x, w, y, stride, padding, dilation;

  Convolution(const Tensor& x_, const Tensor& w_, const Tensor& y_, const Conv2dOptions& o)
      : x(nchw(x_)),
        w{o.groups, w_.dim(0) / o.groups, w_.dim(3), w_.dim(1), w_.dim(2)},
        y(nchw(y_)),
        stride{o.stride, o.stride},
        padding{o.padding, o.padding},
        dilation{o.dilation - 1, o.dilation - 1} {}
  static memory::dims nchw(const Tensor& t) { return {t.dim(0), t.dim(3), t.dim(1), t.dim(2)}; }

  static Desc f32(const memory::dims& dims, Tag tag) {
    return Desc(dims, memory::data_type::f32, tag);
  }
  Desc image(memory::dims dims, Index n) const {
    dims[0] = n;
    return f32(dims, Tag::nhwc);
  }
  Desc plain_weights() const { return f32(w, Tag::abdec); }
  Key key(Kind kind, Index n, bool bias = false, bool relu = false) const {
    return {kind,
            n,
            x[1],
            x[2],
            x[3],
            w[0],
            w[1],
            w[3],
            w[4],
            stride[0],
            padding[0],
            dilation[0],
            Index(bias) | Index(relu) << 1};
  }

  dnnl::convolution_forward::primitive_desc forward(Index n, bool bias, bool relu = false) const {
    const auto attr = attributes(false, relu);
    const auto training = dnnl::prop_kind::forward_training;
    const auto direct = dnnl::algorithm::convolution_direct;
    const Desc weights = f32(w, Tag::any);
    if (bias)
      return make_desc<dnnl::convolution_forward>(attr, training, direct, image(x, n), weights,
                                                  f32({y[1]}, Tag::x), image(y, n), stride,
                                                  dilation, padding, padding);
    return make_desc<dnnl::convolution_forward>(attr, training, direct, image(x, n), weights,
                                                image(y, n), stride, dilation, padding, padding);
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
  auto packed = pool_allocate(Device::cpu(), operation.weights.get_size());
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

bool conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Conv2dOptions& options) {
  if (y.dtype() != DType::f32) return false;
  const Convolution conv(x, w, y, options);
  const auto make = [&](Index n) {
    const auto key = conv.key(kForward, n, bias.defined(), options.relu);
    return cached(key, [&]() -> std::shared_ptr<Operation> {
      const auto desc = conv.forward(n, bias.defined(), options.relu);
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
      args.emplace(DNNL_ARG_BIAS, wrap(Convolution::f32({conv.y[1]}, Tag::x), bias.raw()));
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
      const auto desc = make_backward_desc<P>(
          conv.forward(n, false), dnnl::algorithm::convolution_direct, conv.image(conv.x, n),
          Convolution::f32(conv.w, Tag::any), conv.image(conv.y, n), conv.stride, conv.dilation,
          conv.padding, conv.padding);
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
      const auto desc = make_backward_desc<P>(
          conv.forward(n, false), dnnl::algorithm::convolution_direct, conv.image(conv.x, n),
          Convolution::f32(conv.w, Tag::any), conv.image(conv.y, n), conv.stride, conv.dilation,
          conv.padding, conv.padding);
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

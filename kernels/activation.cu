// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/activation.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/pointwise.cuh>

namespace limbeck::cuda {
namespace {

// Each: fn(x) forward, fn(dy, saved) backward; derivations are beside the CPU twin.
struct Relu {
  LIMBECK_DEVICE float operator()(float x) const { return x < 0 ? 0.0f : x; }
  LIMBECK_DEVICE float operator()(float dy, float y) const { return y > 0 ? dy : 0.0f; }
};

struct Gelu {
  LIMBECK_DEVICE float operator()(float x) const {
    return 0.5f * x * (1.0f + math::erf(x * 0.70710678118654752f));
  }
  LIMBECK_DEVICE float operator()(float dy, float x) const {
    const float cdf = 0.5f * (1.0f + math::erf(x * 0.70710678118654752f));
    const float density = 0.39894228040143268f * math::exp(-0.5f * x * x);
    return dy * math::fma(x, density, cdf);
  }
};

struct Tanh {
  LIMBECK_DEVICE float operator()(float x) const { return math::tanh(x); }
  LIMBECK_DEVICE float operator()(float dy, float y) const { return dy * math::fma(-y, y, 1.0f); }
};

struct Sigmoid {
  LIMBECK_DEVICE float operator()(float x) const { return 1.0f / (1.0f + math::exp(-x)); }
  LIMBECK_DEVICE float operator()(float dy, float y) const { return dy * y * (1.0f - y); }
};

template <class Fn>
void visit_activation(Activation act, Fn fn) {
  switch (act) {
    case Activation::relu:
      return fn(Relu{});
    case Activation::gelu:
      return fn(Gelu{});
    case Activation::tanh:
      return fn(Tanh{});
    case Activation::sigmoid:
      return fn(Sigmoid{});
    case Activation::none:
      break;
  }
}

}  // namespace

void activation_forward(Tensor& y, const Tensor& x, Activation act) {
  if (act == Activation::none) return y.copy_from(x);
  gpu::visit_gpu_floating("activation_forward", y.dtype(), [&]<class T>(TypeTag<T>) {
    visit_activation(act, [&](auto fn) { gpu::map<T>("activation_forward", y, fn, x); });
  });
}

void activation_backward(Tensor& dx, const Tensor& dy, const Tensor& saved, Activation act) {
  if (act == Activation::none) return dx.copy_from(dy);
  gpu::visit_gpu_floating("activation_backward", dx.dtype(), [&]<class T>(TypeTag<T>) {
    visit_activation(act, [&](auto fn) { gpu::map<T>("activation_backward", dx, fn, dy, saved); });
  });
}

}  // namespace limbeck::cuda

// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/elementwise.h>

#include <limbeck/core/math.h>
#include <limbeck/kernels/bias.cuh>
#include <limbeck/kernels/pointwise.cuh>

namespace limbeck::cuda {
namespace {

struct Add {
  LIMBECK_DEVICE float operator()(float a, float b) const { return a + b; }
};

struct Mul {
  LIMBECK_DEVICE float operator()(float a, float b) const { return a * b; }
};

struct Scale {
  float alpha;
  LIMBECK_DEVICE float operator()(float x) const { return alpha * x; }
};

struct Axpy {
  float alpha;
  LIMBECK_DEVICE float operator()(float x, float y) const { return math::fma(alpha, x, y); }
};

struct Exp {
  LIMBECK_DEVICE float operator()(float x) const { return math::exp(x); }
};

template <class S>
struct ScaleBy {
  const S* s;
  LIMBECK_DEVICE float operator()(float x) const { return static_cast<float>(*s) * x; }
};

}  // namespace

void add(Tensor& y, const Tensor& a, const Tensor& b) {
  gpu::visit_gpu_floating("add", y.dtype(),
                          [&]<class T>(TypeTag<T>) { gpu::map<T>("add", y, Add{}, a, b); });
}

void mul(Tensor& y, const Tensor& a, const Tensor& b) {
  gpu::visit_gpu_floating("mul", y.dtype(),
                          [&]<class T>(TypeTag<T>) { gpu::map<T>("mul", y, Mul{}, a, b); });
}

void scale(Tensor& y, const Tensor& x, double alpha) {
  gpu::visit_gpu_floating("scale", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::map<T>("scale", y, Scale{static_cast<float>(alpha)}, x);
  });
}

void axpy(Tensor& y, double alpha, const Tensor& x) {
  gpu::visit_gpu_floating("axpy", y.dtype(), [&]<class T>(TypeTag<T>) {
    gpu::map<T>("axpy", y, Axpy{static_cast<float>(alpha)}, x, y);
  });
}

void exp(Tensor& y, const Tensor& x) {
  gpu::visit_gpu_floating("exp", y.dtype(),
                          [&]<class T>(TypeTag<T>) { gpu::map<T>("exp", y, Exp{}, x); });
}

void scale_by(Tensor& y, const Tensor& x, const Tensor& s) {
  gpu::visit_gpu_floating("scale_by", y.dtype(), [&]<class T>(TypeTag<T>) {
    if (s.dtype() == DType::f32)
      gpu::map<T>("scale_by", y, ScaleBy<float>{s.data<float>()}, x);
    else
      gpu::map<T>("scale_by", y, ScaleBy<T>{s.data<T>()}, x);
  });
}

void add_bias(Tensor& y, const Tensor& bias) { gpu::add_bias(y, bias); }

}  // namespace limbeck::cuda

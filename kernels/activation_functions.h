// SPDX-License-Identifier: Apache-2.0
// Internal: what the activations compute, on either device. Each is fn(x) forward and fn(dy, saved)
// backward, where saved is x if activation_saves_input, else fn(x).
#pragma once

#include <limbeck/core/math.h>
#include <limbeck/kernels/activation.h>

namespace limbeck {

struct Relu {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return x < F(0) ? F(0) : x;  // a NaN stays
  }
  template <class F>
  LIMBECK_HD F operator()(F dy, F y) const {
    return y > F(0) ? dy : F(0);
  }
};

struct Relu6 {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    const F low = x < F(0) ? F(0) : x;
    return low > F(6) ? F(6) : low;
  }
  template <class F>
  LIMBECK_HD F operator()(F dy, F y) const {
    return y > F(0) && y < F(6) ? dy : F(0);
  }
};

struct Tanh {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return math::tanh(x);
  }
  template <class F>
  LIMBECK_HD F operator()(F dy, F y) const {
    return dy * math::fma(-y, y, F(1));
  }
};

struct Sigmoid {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return F(1) / (F(1) + math::exp(-x));
  }
  template <class F>
  LIMBECK_HD F operator()(F dy, F y) const {
    return dy * y * (F(1) - y);
  }
};

struct Gelu {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return F(0.5) * x * (F(1) + math::erf(x * F(0.70710678118654752)));
  }
  // d/dx x Phi(x) = Phi(x) + x exp(-x^2/2) / sqrt(2 pi)
  template <class F>
  LIMBECK_HD F operator()(F dy, F x) const {
    const F cdf = F(0.5) * (F(1) + math::erf(x * F(0.70710678118654752)));
    const F density = F(0.39894228040143268) * math::exp(F(-0.5) * x * x);
    return dy * math::fma(x, density, cdf);
  }
};

// x/2 (1 + tanh u) = x s(2u) with the sigmoid s and 2u = a x + b x^3.
struct GeluTanh {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return x / (F(1) + math::exp(-inner(x)));
  }
  // s + x s (1 - s) (a + 3 b x^2); beyond 12 s is 0 or 1, and the cube must not overflow.
  template <class F>
  LIMBECK_HD F operator()(F dy, F x) const {
    const F low = x < F(-12) ? F(-12) : x;
    const F near = low > F(12) ? F(12) : low;
    const F s = F(1) / (F(1) + math::exp(-inner(near)));
    const F slope = math::fma(F(3) * b<F>() * near, near, a<F>());
    return dy * math::fma(near * s * (F(1) - s), slope, s);
  }

 private:
  template <class F>
  LIMBECK_HD static F a() {
    return F(1.5957691216057308);  // 2 sqrt(2 / pi)
  }
  template <class F>
  LIMBECK_HD static F b() {
    return F(0.071354816272600259);  // 0.044715 a
  }
  template <class F>
  LIMBECK_HD static F inner(F x) {
    return x * math::fma(b<F>() * x, x, a<F>());
  }
};

struct Silu {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return x / (F(1) + math::exp(-x));
  }
  // d/dx x s(x) = s + x s (1 - s)
  template <class F>
  LIMBECK_HD F operator()(F dy, F x) const {
    const F s = F(1) / (F(1) + math::exp(-x));
    return dy * math::fma(x * s, F(1) - s, s);
  }
};

struct Hardswish {
  template <class F>
  LIMBECK_HD F operator()(F x) const {
    return x * (Relu6{}(x + F(3)) / F(6));
  }
  template <class F>
  LIMBECK_HD F operator()(F dy, F x) const {
    const F inside = math::fma(x, F(1.0 / 3), F(0.5));
    const F above = x >= F(3) ? F(1) : inside;
    return dy * (x <= F(-3) ? F(0) : above);
  }
};

/// Calls fn with the function object of an activation that is not none.
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
    case Activation::silu:
      return fn(Silu{});
    case Activation::gelu_tanh:
      return fn(GeluTanh{});
    case Activation::relu6:
      return fn(Relu6{});
    case Activation::hardswish:
      return fn(Hardswish{});
    case Activation::none:
      break;
  }
}

}  // namespace limbeck

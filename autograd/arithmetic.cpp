// SPDX-License-Identifier: Apache-2.0
#include <limbeck/autograd/arithmetic.h>

#include <limbeck/kernels/elementwise.h>
#include <limbeck/kernels/reduce.h>

namespace limbeck {

Variable add(const Variable& a, const Variable& b) {
  Tensor y = Tensor::empty_like(a.value());
  add(y, a.value(), b.value());
  return record("add", y, {a, b}, [](const Tensor& dy, std::span<InputGrad> inputs) {
    if (inputs[0].needed() && inputs[1].needed()) {
      inputs[0].give(dy.clone());
      inputs[1].give(dy);
    } else {
      inputs[inputs[0].needed() ? 0 : 1].give(dy);
    }
  });
}

Variable sub(const Variable& a, const Variable& b) { return add(a, scale(b, -1)); }

Variable mul(const Variable& a, const Variable& b) {
  const Tensor& av = a.value();
  const Tensor& bv = b.value();
  Tensor y = Tensor::empty_like(av);
  mul(y, av, bv);
  return record("mul", y, {a, b}, [av, bv](const Tensor& dy, std::span<InputGrad> inputs) {
    const auto give_product = [&](InputGrad& input, const Tensor& other) {
      if (!input.needed()) return;
      Tensor dx = Tensor::empty_like(dy);
      mul(dx, dy, other);
      input.give(dx);
    };
    give_product(inputs[0], bv);
    give_product(inputs[1], av);
  });
}

Variable scale(const Variable& x, double alpha) {
  Tensor y = Tensor::empty_like(x.value());
  scale(y, x.value(), alpha);
  return record("scale", y, {x}, [alpha](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    scale(dx, dy, alpha);
    inputs[0].give(dx);
  });
}

Variable exp(const Variable& x) {
  Tensor y = Tensor::empty_like(x.value());
  exp(y, x.value());
  return record("exp", y, {x}, [y](const Tensor& dy, std::span<InputGrad> inputs) {
    Tensor dx = dy;
    mul(dx, dy, y);
    inputs[0].give(dx);
  });
}

Variable sum(const Variable& x) {
  const Tensor& xv = x.value();
  const bool half = xv.dtype() == DType::bf16 || xv.dtype() == DType::f16;
  Tensor s = Tensor::empty({1}, half ? DType::f32 : xv.dtype(), xv.device());
  sum(s, xv);
  const Shape shape = xv.shape();
  const DType dtype = xv.dtype();
  return record("sum", s, {x}, [shape, dtype](const Tensor& ds, std::span<InputGrad> inputs) {
    Tensor dx = Tensor::full(shape, 1, dtype, ds.device());
    scale_by(dx, dx, ds);
    inputs[0].give(dx);
  });
}

Variable mean(const Variable& x) {
  return scale(sum(x), 1.0 / static_cast<double>(std::max<std::int64_t>(x.value().numel(), 1)));
}

}  // namespace limbeck

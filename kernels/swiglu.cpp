// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/swiglu.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/pointwise.h>
#include <limbeck/kernels/row_checks.h>
#include <limbeck/kernels/swiglu_functions.h>

namespace limbeck {
namespace {

void check_first(const char* op, const Tensor& a) {
  LIMBECK_CHECK(a.defined() && is_floating(a.dtype()), op, ": a is ",
                a.defined() ? dtype_name(a.dtype()) : "undefined", "; expected a floating dtype");
}

}  // namespace

void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b) {
  check_first("swiglu_forward", a);
  check_like("swiglu_forward", "b", b, "a", a);
  check_like("swiglu_forward", "y", y, "a", a);
  LIMBECK_DISPATCH(a.device(), swiglu_forward(y, a, b));
}

void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b) {
  check_first("swiglu_backward", a);
  check_like("swiglu_backward", "b", b, "a", a);
  check_like("swiglu_backward", "dy", dy, "a", a);
  check_like("swiglu_backward", "da", da, "a", a);
  check_like("swiglu_backward", "db", db, "a", a);
  LIMBECK_DISPATCH(a.device(), swiglu_backward(da, db, dy, a, b));
}

namespace cpu {

void swiglu_forward(Tensor& y, const Tensor& a, const Tensor& b) {
  visit_floating(y.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    map(y.numel(), Swiglu{}, y.data<T>(), a.data<T>(), b.data<T>());
  });
}

void swiglu_backward(Tensor& da, Tensor& db, const Tensor& dy, const Tensor& a, const Tensor& b) {
  visit_floating(a.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    map(a.numel(), SwigluGradA{}, da.data<T>(), dy.data<T>(), a.data<T>(), b.data<T>());
    map(a.numel(), Swiglu{}, db.data<T>(), a.data<T>(), dy.data<T>());
  });
}

}  // namespace cpu
}  // namespace limbeck

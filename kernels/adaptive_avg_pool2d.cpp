// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/adaptive_avg_pool2d.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/kernels/adaptive_bin.h>
#include <limbeck/kernels/pixels.h>

namespace limbeck {
namespace {

// `small` is y or dy, `large` x or dx.
void check(const char* op, const Tensor& small, const Tensor& large) {
  LIMBECK_CHECK(small.defined() && large.defined(), op, ": a tensor is undefined");
  const Shape &s = small.shape(), &l = large.shape();
  LIMBECK_CHECK(s.rank() == 4 && l.rank() == 4 && s[0] == l[0] && s[3] == l[3], op,
                ": input has shape ", l, ", output ", s,
                "; expected (N,H,W,C) and (N,OH,OW,C) of one N and C");
  LIMBECK_CHECK(l[1] >= 1 && l[2] >= 1 && s[1] >= 1 && s[2] >= 1, op, ": input has shape ", l,
                ", output ", s, "; expected images of at least 1x1");
  LIMBECK_CHECK(is_floating(large.dtype()) && small.dtype() == large.dtype(), op, ": input is ",
                large.dtype(), ", output ", small.dtype(), "; expected one floating dtype");
  LIMBECK_CHECK(small.device() == large.device(), op, ": input is on ", large.device(),
                ", output on ", small.device(), "; expected one device");
}

}  // namespace

void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x) {
  check("adaptive_avg_pool2d_forward", y, x);
  LIMBECK_DISPATCH(x.device(), adaptive_avg_pool2d_forward(y, x));
}

void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy) {
  check("adaptive_avg_pool2d_backward", dy, dx);
  LIMBECK_DISPATCH(dx.device(), adaptive_avg_pool2d_backward(dx, dy));
}

namespace cpu {
namespace {

Range bin(Index i, Index n, Index bins) {
  const AdaptiveBin b = adaptive_bin(i, n, bins);
  return {b.begin, b.end};
}

}  // namespace

void adaptive_avg_pool2d_forward(Tensor& y, const Tensor& x) {
  const Extents e(x, y);
  visit_floating(x.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = y.data<T>();
    const T* in = x.data<T>();
    for_each_pixel(e.n * e.oh, e.ow, e.w * e.c * (e.h / e.oh + 1),
                   [&](Index row, Index j, Index pixel) {
                     mean_window(out + pixel * e.c, in + row / e.oh * e.h * e.w * e.c,
                                 bin(row % e.oh, e.h, e.oh), bin(j, e.w, e.ow), e.w, e.c);
                   });
  });
}

void adaptive_avg_pool2d_backward(Tensor& dx, const Tensor& dy) {
  const Extents e(dx, dy);
  visit_floating(dx.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    using C = ComputeType<T>;
    T* out = dx.data<T>();
    const T* in = dy.data<T>();
    for_each_pixel(e.n * e.h, e.w, e.w * e.c, [&](Index row, Index w, Index pixel) {
      gather_windows(
          out + pixel * e.c, bin(row % e.h, e.oh, e.h), bin(w, e.ow, e.w), row / e.h * e.oh * e.ow,
          e.ow, e.c, [&](C* sum, Index at, Index i, Index j, auto n) {
            const C cells = static_cast<C>(bin(i, e.h, e.oh).size() * bin(j, e.w, e.ow).size());
            for (Index c = 0; c < n; ++c) sum[c] += static_cast<C>(in[at + c]) / cells;
          });
    });
  });
}

}  // namespace cpu

}  // namespace limbeck

// SPDX-License-Identifier: Apache-2.0
// kernels/cudnn.h on the emulated GPU: checked arguments, and the CPU twin when the call's turn
// comes.
#include <limbeck/kernels/cudnn.h>

#include <limbeck/tests/simt/library.h>

namespace limbeck::cudnn {

using simt::Argument;

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_forward";
  const Argument input(call, "x", x, y.dtype(), x.shape());
  const Argument weight(call, "w", w, y.dtype(), {w.dim(0), w.dim(1), w.dim(2), x.dim(3)});
  const Argument to(call, "y", y, y.dtype(), conv2d_output_shape(x.shape(), w.shape(), options));
  simt::enqueue_call([=] {
    Tensor result = to.fetch();
    cpu::conv2d_forward(result, input.fetch(), weight.fetch(), Tensor(), options);
    to.store(result);
  });
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_backward_data";
  const Argument weight(call, "w", w, dx.dtype(), {w.dim(0), w.dim(1), w.dim(2), dx.dim(3)});
  const Argument upstream(call, "dy", dy, dx.dtype(),
                          conv2d_output_shape(dx.shape(), w.shape(), options));
  const Argument to(call, "dx", dx, dx.dtype(), dx.shape());
  simt::enqueue_call([=] {
    Tensor result = to.fetch();
    cpu::conv2d_backward_data(result, upstream.fetch(), weight.fetch(), options);
    to.store(result);
  });
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_backward_weight";
  const Argument input(call, "x", x, dw.dtype(), x.shape());
  const Argument upstream(call, "dy", dy, dw.dtype(),
                          conv2d_output_shape(x.shape(), dw.shape(), options));
  const Argument to(call, "dw", dw, dw.dtype(), {dw.dim(0), dw.dim(1), dw.dim(2), x.dim(3)});
  simt::enqueue_call([=] {
    Tensor result = to.fetch();
    cpu::conv2d_backward_weight(result, input.fetch(), upstream.fetch(), out, options);
    to.store(result);
  });
}

}  // namespace limbeck::cudnn

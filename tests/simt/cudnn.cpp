// SPDX-License-Identifier: Apache-2.0
// kernels/cudnn.h on the emulated GPU: checked copies to the host, the CPU twin, a copy back.
#include <limbeck/kernels/cudnn.h>

#include <limbeck/tests/simt/on_host.h>

namespace limbeck::cudnn {

using simt::on_host;

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_forward";
  Tensor result = on_host(call, "y", y);
  cpu::conv2d_forward(result, on_host(call, "x", x), on_host(call, "w", w), Tensor(), options);
  y.copy_from(result);
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_backward_data";
  Tensor result = on_host(call, "dx", dx);
  cpu::conv2d_backward_data(result, on_host(call, "dy", dy), on_host(call, "w", w), options);
  dx.copy_from(result);
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  const char* call = "cudnn::conv2d_backward_weight";
  Tensor result = on_host(call, "dw", dw);
  cpu::conv2d_backward_weight(result, on_host(call, "x", x), on_host(call, "dy", dy), out, options);
  dw.copy_from(result);
}

}  // namespace limbeck::cudnn

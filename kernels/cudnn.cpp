// SPDX-License-Identifier: Apache-2.0
#include <limbeck/kernels/cudnn.h>

#include <limbeck/core/dispatch.h>
#include <limbeck/core/math_mode.h>
#include <limbeck/core/pool.h>

namespace limbeck::cudnn {
namespace {

int narrow(const char* what, std::int64_t value) {
  LIMBECK_CHECK(value <= INT32_MAX, "conv2d on a GPU: ", what, " ", value,
                "; expected less than 2^31");
  return static_cast<int>(value);
}

/// From (N,H,W,C), or (O,KH,KW,C).
std::array<int, 4> extents(const Tensor& t) {
  std::array<int, 4> e{};
  for (int i = 0; i < 4; ++i)
    e[static_cast<std::size_t>(i)] = narrow("extent", t.dim(std::array{0, 3, 1, 2}[i]));
  return e;
}

Images images(const Tensor& t) {
  const std::int64_t C = t.dim(3), row = t.dim(2) * C;
  return {t.dtype(),
          extents(t),
          {narrow("stride", t.dim(1) * row), 1, narrow("stride", row), narrow("stride", C)}};
}

bool is_aligned(const Tensor& t) {
  return reinterpret_cast<std::uintptr_t>(t.raw()) % kAlignment == 0;
}

/// t, or a copy of it where the library can take it.
Tensor aligned(const Tensor& t) { return is_aligned(t) ? t : t.clone(); }

void put_back(Tensor& t, const Tensor& result) {
  if (!is_aligned(t)) t.copy_from(result);
}

void convolve(Pass pass, const Tensor& x, const Tensor& w, const Tensor& y,
              const Conv2dOptions& options, Out out) {
  Call call = describe(pass, x, w, y, options, out);
  call.workspace_bytes = workspace_bytes(call.problem);
  const auto workspace = pool_allocate(x.device(), call.workspace_bytes);
  call.workspace = workspace.get();
  detail::count_cuda_launch();
  run(call);
}

}  // namespace

Call describe(Pass pass, Tensor x, Tensor w, Tensor y, const Conv2dOptions& options, Out out) {
  const DType dtype = x.dtype();
  LIMBECK_CHECK(dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16,
                "conv2d on a GPU: dtype ", dtype, "; expected f32, bf16 or f16");
  const int padding = narrow("padding", options.padding), stride = narrow("stride", options.stride);
  const int dilation = narrow("dilation", options.dilation);
  const Problem problem = {
      .device = x.device().index(),
      .pass = pass,
      .x = images(x),
      .y = images(y),
      .w = {dtype, Layout::nhwc, extents(w)},
      .compute = DType::f32,
      .padding = {padding, padding},
      .stride = {stride, stride},
      .dilation = {dilation, dilation},
      .groups = narrow("groups", options.groups),
      .tensor_cores = dtype != DType::f32 || math_mode() == MathMode::fast,
      .deterministic = true,
  };
  return {.problem = problem,
          .x = x.raw(),
          .w = w.raw(),
          .y = y.raw(),
          .alpha = 1,
          .beta = out == Out::add ? 1.0f : 0.0f,
          .workspace = nullptr,
          .workspace_bytes = 0};
}

void conv2d_forward(Tensor& y, const Tensor& x, const Tensor& w, const Conv2dOptions& options) {
  const Tensor result = aligned(y);
  convolve(Pass::forward, aligned(x), aligned(w), result, options, Out::write);
  put_back(y, result);
}

void conv2d_backward_data(Tensor& dx, const Tensor& dy, const Tensor& w,
                          const Conv2dOptions& options) {
  const Tensor result = aligned(dx);
  convolve(Pass::backward_data, result, aligned(w), aligned(dy), options, Out::write);
  put_back(dx, result);
}

void conv2d_backward_weight(Tensor& dw, const Tensor& x, const Tensor& dy, Out out,
                            const Conv2dOptions& options) {
  const Tensor result = aligned(dw);
  convolve(Pass::backward_weight, aligned(x), result, aligned(dy), options, out);
  put_back(dw, result);
}

}  // namespace limbeck::cudnn
